//! Giving the lease up, in one transaction. The caller does it only after a completed fence or a clean shutdown.

use super::{Keeper, Record, ReleaseOutcome, state::Mine, view::Recorded, view::View};
use crate::{Compare, Op, StoreError, Txn};
use tanist_engine::{Attempt, Epoch, Revision};

/// Attempts of one call, when a renewal whose answer was lost turns out to have landed.
const TRIES: usize = 3;

/// The bytes of `tanist/handoff` for the epoch that is given up.
pub type Handover<'a> = &'a (dyn Fn(Epoch) -> Vec<u8> + Sync);

impl Keeper {
    /// Marks the record released and deletes the leader key; puts `tanist/handoff` and deletes `/failover` in the same transaction where
    /// asked to. A renewal that was under way may have put the leader key back and changed the epoch since the caller has looked, and a
    /// hand-over of another epoch than the record's means nothing: so its epoch is filled in here.
    pub async fn release(&self, handoff: Option<Handover<'_>>, clear_switchover: bool) -> ReleaseOutcome {
        let _turn = self.turn.lock().await;
        let _flight = self.fly();
        for _ in 0..TRIES {
            let Some((txn, record)) = self.surrender(handoff, clear_switchover) else { return self.already_released() };
            let attempt = Attempt(record.attempt);
            match self.store.txn(txn, self.attempt_timeout()).await {
                Ok(answer) if answer.succeeded => {
                    let now = self.clock.now();
                    self.state().gave_up(answer.revision, record, now);
                    return ReleaseOutcome::Released;
                }
                Ok(answer) => {
                    let now = self.clock.now();
                    let mut state = self.state();
                    state.clock.dropped(attempt);
                    state.fold(View::of(answer), now, now);
                }
                Err(error) => return ReleaseOutcome::Failed(error),
            }
        }
        ReleaseOutcome::Failed(StoreError::Unknown("the lease record keeps changing".to_owned()))
    }

    fn surrender(&self, handoff: Option<Handover<'_>>, clear_switchover: bool) -> Option<(Txn, Record)> {
        let now = self.clock.now();
        let mut state = self.state();
        let Mine { revision, record, epoch, .. } = state.mine.clone()?;
        let ttl = state.ttl;
        let attempt = state.begin(now, ttl);
        let seq = record.seq.saturating_add(1);
        // Nothing is held any more: anybody may take over.
        state.naming.begun(attempt, None, ttl);
        let record = Record { seq, epoch: Some(epoch), released: true, attempt: attempt.0, failsafe: None, ..record };
        let leader = state.leader.as_ref().map_or(Revision(0), |leader| leader.mod_revision);
        let mut then = vec![Op::put(self.keys.lease(), record.encode()), Op::Delete(self.keys.leader())];
        then.extend(handoff.map(|handoff| Op::put(self.keys.handoff(), handoff(epoch))));
        then.extend(clear_switchover.then(|| Op::Delete(self.keys.failover())));
        let compares = vec![Compare::ModRevision(self.keys.lease(), revision), Compare::ModRevision(self.keys.leader(), leader)];
        Some((Txn { compares, then, otherwise: View::reads(&self.keys) }, record))
    }

    /// The lease is not ours: because an earlier release of ours landed, or because it was lost?
    fn already_released(&self) -> ReleaseOutcome {
        let state = self.state();
        match &state.recorded {
            Some(Recorded { content: Ok(record), .. })
                if record.released && record.holder == state.me && record.nonce == state.nonce =>
            {
                ReleaseOutcome::Released
            }
            _ => ReleaseOutcome::Lost,
        }
    }
}
