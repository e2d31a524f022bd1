//! A copy of the leader's data directory. Whatever was there is thrown away; a crash in between leaves the mark of unfinished work, and
//! the copy is made again from the beginning, never started as it is.

use super::{JobError, blocking};
use crate::execute::Tools;
use std::time::Duration;
use tanist_engine::Upstream;
use tanist_postgres::{Work, configure, layout, plan, progress, tablespaces};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the leader may take to say where its tablespaces are.
const ASKING: Duration = Duration::from_secs(10);

impl Tools {
    pub(super) async fn clone_from(&self, from: &Upstream) -> Result<(), JobError> {
        let settings = self.postgres.settings();
        let (marked, endpoint) = (settings.clone(), from.endpoint.clone());
        let (mark, empty) = blocking(move || {
            let mark = layout::begin_work(&marked, Work::Clone)?;
            configure::write_pgpass(&marked, &endpoint)?;
            let empty = plan::empty_data_dir(&marked, &mark)?;
            Ok::<_, JobError>((mark, empty))
        })
        .await??;
        for command in empty {
            self.run_writer(command).await?;
        }
        let spaces = tablespaces::of_leader(&settings, from, ASKING).await.unwrap_or_else(|error| {
            let remedy = "were the copy interrupted, what it has made in them would have to be deleted by hand";
            tracing::warn!("the leader does not say where its tablespaces are: {error}; {remedy}");
            Vec::new()
        });
        let marked = settings.clone();
        let mark = blocking(move || layout::emptied(&marked, mark, spaces)).await??;
        let command = plan::basebackup(&settings, from, &mark)?;
        tracing::info!(from = %from.name, "copying the leader's data directory");
        let log = command.log_file.clone();
        let shown = tokio::spawn(async move {
            let mut last = None;
            loop {
                tokio::time::sleep(LOOK).await;
                let percent = progress::read(&log).ok().flatten().map(|found| (found.percent(), found.done_kb, found.total_kb));
                if percent != last {
                    last = percent;
                    if let Some((percent, done_kb, total_kb)) = percent {
                        tracing::info!(percent, done_kb, total_kb, "copying");
                    }
                }
            }
        });
        let copied = self.run_writer(command).await;
        shown.abort();
        copied?;
        blocking(move || layout::end_work(&settings)).await??;
        self.own_directory().await
    }
}
