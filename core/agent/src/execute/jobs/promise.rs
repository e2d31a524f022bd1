//! A promise for an epoch (SAFETY §4.2): the epoch on disk, then the barrier on the running standby.
//!
//! Where the barrier cannot be had from outside, the server is ended at once and started with nobody to follow, which is one, too.

use super::{JobError, blocking};
use crate::execute::Tools;
use std::time::Duration;
use tanist_engine::{Epoch, MemberName, StartAs, SyncNames};
use tanist_guard::protocol::StopMode;
use tanist_postgres::{
    ServerConfig, configure,
    cut::{self, CutError},
};

/// How long the barrier is tried without a restart: what a restart takes.
const LIMIT: Duration = Duration::from_secs(3);

impl Tools {
    pub(super) async fn promise(&self, epoch: Epoch, to: Option<MemberName>, names: SyncNames) -> Result<(), JobError> {
        let tools = self.promise.clone();
        blocking(move || tools.raise(epoch, to.as_ref())).await??;
        let settings = self.postgres.settings();
        let Some(postmaster) = self.guard.postmaster() else {
            // Every start writes the configuration anew, and only for a leader that the promise permits.
            self.promise.is_cut(epoch);
            return Ok(());
        };
        match cut::cut(&settings, postmaster, &names, LIMIT).await {
            Ok(done) => tracing::info!(%epoch, ?done, "cut off from every upstream"),
            Err(error @ CutError::NotStandby) => return Err(JobError::Other(error.to_string())),
            Err(error) => {
                tracing::warn!(%epoch, "restarting without an upstream, to be sure that none is heard: {error}");
                let (kept, written) = (settings.clone(), names.clone());
                blocking(move || configure::write_for(&kept, ServerConfig::Standby { upstream: None }, &written)).await??;
                self.postgres.let_go();
                self.guard.stop_postgres(StopMode::Immediate).await?;
                let known = self.directory.is_replaced();
                self.start(&StartAs::Standby(None), names, known).await?;
            }
        }
        self.promise.is_cut(epoch);
        Ok(())
    }
}
