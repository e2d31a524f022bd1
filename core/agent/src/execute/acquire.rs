//! Taking the lease: one transaction that also rewrites `/sync` with its present value, so that every pending write of the old
//! leader fails (SAFETY §4.1). The epoch is in the answer; losing the race is an ordinary outcome.

use super::Tools;
use tanist_dcs::lease::{AcquireOutcome, SyncNow};
use tanist_engine::{Revision, SyncState};
use tanist_patroni::dcs::SyncKey;

impl Tools {
    pub(super) async fn acquire(&self, record: Revision) -> bool {
        let Some(sync) = self.sync_now() else { return false };
        match self.keeper.acquire(record, sync).await {
            AcquireOutcome::Won(held) => {
                tracing::info!(epoch = %held.epoch, "the lease is ours");
                true
            }
            AcquireOutcome::Lost => {
                tracing::info!("another node was faster");
                true
            }
            AcquireOutcome::ViewChanged => {
                tracing::info!("/sync or /initialize changed while the lease was being taken");
                false
            }
            AcquireOutcome::Failed(error) => {
                tracing::warn!(%error, "the lease was not taken, as far as is known");
                false
            }
        }
    }

    /// `/sync` and the revision of `/initialize` as the mirror has them; nothing when the first cannot be read, for then nobody knows who
    /// may lead.
    fn sync_now(&self) -> Option<SyncNow> {
        let (snapshot, keys) = (self.mirror.snapshot(), self.keeper.keys());
        let initialize = snapshot.get(&keys.initialize()).map_or(Revision(0), |seen| seen.kv.mod_revision);
        let Some(present) = snapshot.get(&keys.sync()) else {
            let value = SyncKey::default().encode().into_bytes();
            return Some(SyncNow { revision: Revision(0), value, state: Some(SyncState::default()), initialize });
        };
        match SyncKey::decode(&present.kv.value) {
            Ok(key) => {
                let revision = present.kv.mod_revision;
                let state = Some(key.into_engine(revision));
                Some(SyncNow { revision, value: present.kv.value.clone(), state, initialize })
            }
            Err(error) => {
                tracing::error!(%error, "the lease is not taken while /sync cannot be read");
                None
            }
        }
    }
}
