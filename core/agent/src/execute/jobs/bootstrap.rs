//! A new cluster: initdb, and its configuration. A crash in between leaves the mark of unfinished work, and it is done again.

use super::{JobError, blocking};
use crate::execute::Tools;
use tanist_engine::SyncNames;
use tanist_postgres::{ServerConfig, Work, configure, layout, plan};

impl Tools {
    pub(super) async fn bootstrap(&self, names: SyncNames) -> Result<(), JobError> {
        let settings = self.postgres.settings();
        let marked = settings.clone();
        let (mark, empty) = blocking(move || {
            let mark = layout::begin_work(&marked, Work::Bootstrap)?;
            let empty = plan::empty_data_dir(&marked, &mark)?;
            Ok::<_, JobError>((mark, empty))
        })
        .await??;
        for command in empty {
            self.run_writer(command).await?;
        }
        let marked = settings.clone();
        blocking(move || layout::emptied(&marked, mark, Vec::new())).await??;
        self.run_writer(plan::initdb(&settings)?).await?;
        blocking(move || {
            configure::write_for(&settings, ServerConfig::Primary, &names)?;
            Ok::<_, JobError>(layout::end_work(&settings)?)
        })
        .await??;
        self.own_directory().await
    }
}
