//! One renewal of the lease. What it wins is put into the guard's page at once: the page's deadline and the lease are one thing.

use super::Tools;
use tanist_dcs::lease::RenewOutcome;
use tanist_engine::Held;
use tanist_guard::page::Extend;

impl Tools {
    pub(super) async fn renew(&self) -> bool {
        match self.keeper.renew().await {
            RenewOutcome::Renewed(held) => {
                self.extend_page(&held);
                true
            }
            RenewOutcome::Lost => {
                tracing::warn!("the lease belongs to somebody else now");
                true
            }
            RenewOutcome::Failed(error) => {
                tracing::warn!(%error, "the lease was not renewed, as far as is known");
                false
            }
        }
    }

    /// Moves the guard's deadline to the end of the lease, where the guard is armed for this epoch.
    pub(super) fn extend_page(&self, held: &Held) {
        let Some(until) = self.keeper.until() else { return };
        let armed_for = self.guard.page().arm_view().map(|armed| armed.epoch);
        if armed_for != Some(held.epoch.0) {
            return;
        }
        match self.guard.page().extend(held.epoch.0, until.boot.as_nanos(), until.raw.as_nanos()) {
            Extend::Extended | Extend::Shorter => {}
            Extend::Fenced => tracing::warn!("renewed, and already fenced: the renewal came too late"),
            Extend::NotArmed => tracing::debug!("the guard is not armed for this epoch"),
        }
    }
}
