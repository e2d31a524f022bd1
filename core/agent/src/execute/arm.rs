//! Arming and disarming the guard: messages to it, done on the spot. The page shows what became of them.

use super::Tools;
use std::time::Duration;
use tanist_engine::Epoch;
use tanist_guard::protocol::Command;

impl Tools {
    /// Asks the guard to allow a writable PostgreSQL until the end of the held lease, on both clocks.
    pub fn arm(&self, epoch: Epoch, ttl: Duration) {
        let Some(until) = self.keeper.until() else { return };
        let ttl = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
        let command =
            Command::Arm { epoch: epoch.0, deadline_boot: until.boot.as_nanos(), deadline_raw: until.raw.as_nanos(), ttl };
        if let Err(error) = self.guard.send(&command) {
            tracing::error!(%error, "the guard could not be armed");
        }
    }

    /// Takes the permission back.
    pub fn disarm(&self) {
        if let Err(error) = self.guard.send(&Command::Disarm) {
            tracing::error!(%error, "the guard could not be disarmed");
        }
    }
}
