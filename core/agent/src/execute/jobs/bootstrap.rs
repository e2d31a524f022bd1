//! A new cluster: initdb, and its configuration. A crash in between leaves the mark of unfinished work, and it is done again.

use super::{JobError, blocking};
use crate::execute::Tools;
use tanist_engine::SyncNames;
use tanist_postgres::{ServerConfig, configure, layout, plan};

impl Tools {
    pub(super) async fn bootstrap(&self, names: SyncNames) -> Result<(), JobError> {
        let settings = self.postgres.settings();
        let marked = settings.clone();
        let emptied = blocking(move || {
            layout::begin_work(&marked, "bootstrap")?;
            Ok::<_, JobError>(plan::empty_data_dir(&marked)?)
        })
        .await??;
        if let Some(command) = emptied {
            self.run_writer(command).await?;
        }
        self.run_writer(plan::initdb(&settings)?).await?;
        blocking(move || {
            configure::write_for(&settings, ServerConfig::Primary, &names)?;
            Ok::<_, JobError>(layout::end_work(&settings)?)
        })
        .await??;
        self.own_directory().await
    }
}
