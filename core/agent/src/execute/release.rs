//! Giving the lease up: only after a completed fence or a clean shutdown, which the engine and its audit have made sure of.

use super::Tools;
use tanist_dcs::lease::{Handover, ReleaseOutcome};
use tanist_engine::{Handoff, Lease, MemberName};
use tanist_patroni::own::HandoffKey;

impl Tools {
    pub(super) async fn release(&self, to: Option<MemberName>, clear_switchover: bool) -> bool {
        let Lease::Mine(held) = self.keeper.lease(crate::run::clock::reading()) else { return true };
        let handoff = to.map(|to| move |epoch| HandoffKey(Handoff { to: to.clone(), epoch }).encode().into_bytes());
        let handoff = handoff.as_ref().map(|handoff| handoff as Handover<'_>);
        match self.keeper.release(handoff, clear_switchover).await {
            ReleaseOutcome::Released => {
                tracing::info!(epoch = %held.epoch, "the lease is given up");
                true
            }
            ReleaseOutcome::Lost => true,
            ReleaseOutcome::Failed(error) => {
                tracing::warn!(%error, "the lease was not given up, as far as is known");
                false
            }
        }
    }
}
