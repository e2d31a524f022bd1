//! Stopping PostgreSQL, by the guard, which sees its end in the kernel and not by asking once a second.

use super::JobError;
use crate::execute::Tools;
use tanist_engine::{Policy, StopMode};
use tanist_guard::protocol;

impl Tools {
    pub(super) async fn stop(&self, mode: StopMode, policy: &Policy) -> Result<(), JobError> {
        // The kept session would hold up nothing, but its end is better ours than an error.
        self.postgres.let_go();
        let limit = policy.primary_stop_timeout;
        match mode {
            StopMode::Immediate => Ok(self.guard.stop_postgres(protocol::StopMode::Immediate).await?),
            StopMode::Fast if limit.is_zero() => Ok(self.guard.stop_postgres(protocol::StopMode::Fast).await?),
            StopMode::Fast => match tokio::time::timeout(limit, self.guard.stop_postgres(protocol::StopMode::Fast)).await {
                Ok(stopped) => Ok(stopped?),
                Err(_too_slow) => {
                    tracing::warn!(?limit, "the fast shutdown takes longer than primary_stop_timeout; stopping at once");
                    Ok(self.guard.stop_postgres(protocol::StopMode::Immediate).await?)
                }
            },
        }
    }
}
