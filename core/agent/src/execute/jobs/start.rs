//! Starting PostgreSQL. The job ends when its process runs; the probes show how far the start is.

use super::{JobError, blocking, program};
use crate::{
    execute::Tools,
    run::{Fact, clock},
};
use std::time::Duration;
use tanist_engine::{Epoch, Postgres, StartAs, SyncNames};
use tanist_postgres::{OnDisk, ServerConfig, configure, forget_skipped, layout, plan, remove_stale_locks};

/// How long the control file may take to read.
const LIMIT: Duration = Duration::from_secs(10);

impl Tools {
    /// `known`: whoever decided this knew that the directory is not the one before.
    pub(super) async fn start(&self, how: &StartAs, names: SyncNames, known: bool) -> Result<(), JobError> {
        let settings = self.slotted();
        settings.validate()?;
        let OnDisk::Cluster { control, .. } = layout::inspect(&settings, LIMIT).await? else {
            return Err(JobError::Other(format!("{} holds no cluster to start", settings.data_dir.display())));
        };
        let (kept, how_now, promise) = (settings.clone(), how.clone(), self.promise.clone());
        let directory = self.directory.clone();
        blocking(move || {
            // While a server runs in it nobody looks: it would pass for the known one until the next stop.
            directory.look();
            if directory.is_replaced() && !known {
                let path = kept.data_dir.display();
                return Err(JobError::Other(format!("{path} was replaced by other hands since it was looked at")));
            }
            for path in remove_stale_locks(&kept)? {
                tracing::info!("{} was left by a server that is gone; removed", path.display());
            }
            for address in plan::check_listen(&kept)? {
                tracing::warn!("postgresql.listen: {address}");
            }
            forget_skipped(&kept.data_dir)?;
            match &how_now {
                StartAs::Primary { .. } => configure::write_for(&kept, ServerConfig::Primary, &names)?,
                StartAs::Standby(upstream) => {
                    if let Some(upstream) = upstream {
                        promise.permits(upstream)?;
                        promise.raise(upstream.epoch, Some(&upstream.name))?;
                        configure::write_pgpass(&kept, &upstream.endpoint)?;
                    }
                    configure::write_for(&kept, ServerConfig::Standby { upstream: upstream.as_ref() }, &names)?
                }
            };
            Ok::<_, JobError>(())
        })
        .await??;
        let (standby, epoch) = match how {
            StartAs::Standby(_) => (true, None),
            StartAs::Primary { epoch } => (false, Some(epoch.0)),
        };
        let command = plan::postgres(&settings, &control, standby)?;
        self.postgres.will_start(!standby);
        self.guard.start_postgres(program(&command), epoch).await?;
        if let Some(epoch) = epoch {
            self.remember(Epoch(epoch));
        }
        self.facts.tell(Fact::PostgresChanged(Postgres::Starting { since: clock::now(), as_primary: !standby }));
        self.postgres.probe_now();
        Ok(())
    }
}
