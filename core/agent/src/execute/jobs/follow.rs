//! Pointing a running standby at another upstream, without a restart.

use super::{JobError, blocking};
use crate::execute::Tools;
use std::time::Duration;
use tanist_engine::{SyncNames, Upstream};
use tanist_postgres::{configure, sql};

/// How long the postmaster may take to read the setting.
const LIMIT: Duration = Duration::from_secs(10);

impl Tools {
    pub(super) async fn follow(&self, upstream: &Upstream, names: &SyncNames) -> Result<(), JobError> {
        let settings = self.slotted();
        let (kept, promise, asked) = (settings.clone(), self.promise.clone(), upstream.clone());
        blocking(move || {
            promise.permits(&asked)?;
            promise.raise(asked.epoch, Some(&asked.name))?;
            Ok::<_, JobError>(configure::write_pgpass(&kept, &asked.endpoint)?)
        })
        .await??;
        Ok(sql::follow(&settings, Some(upstream), names, LIMIT).await?)
    }
}
