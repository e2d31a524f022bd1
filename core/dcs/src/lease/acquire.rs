//! Taking the lease: one transaction (and the read that confirms a vacancy before it).

use super::{AcquireOutcome, Keeper, Record, SyncNow, view::View};
use crate::{Compare, KeyValue, Op, StoreError, Txn};
use tanist_engine::{Epoch, Lease, Revision};

/// Tries of one call, when the leader key expires or the base is raised between the look and the transaction.
const TRIES: usize = 3;

/// What one try needs.
struct Plan {
    txn: Txn,
    record: Record,
    /// The transaction is refused for this expiry only.
    expiry: crate::ExpiryId,
}

impl Keeper {
    /// Confirms by a linearizable read that the record is still the one that ran out. `true`: the lease is vacant.
    pub async fn confirm_vacant(&self) -> Result<bool, StoreError> {
        let asked = self.clock.now();
        if !self.state().wants_confirmation(asked) {
            return Ok(matches!(self.state().lease(asked), Lease::Vacant { .. }));
        }
        let read = Txn { then: View::reads(&self.keys), ..Txn::default() };
        let answer = self.store.txn(read, self.attempt_timeout()).await?;
        let answered = self.clock.now();
        Ok(self.state().confirm(View::of(answer), asked, answered))
    }

    /// Takes the lease that was found vacant at this revision of the record: record → mine, leader key → mine, `/sync` rewritten with
    /// its present value, all compared with what was seen, and `/initialize`, too. The base is compared as well, so the epoch is known from
    /// the answer.
    pub async fn acquire(&self, record: Revision, sync: SyncNow) -> AcquireOutcome {
        let outcome = self.try_to_acquire(record, sync).await;
        self.note(if let AcquireOutcome::Failed(error) = &outcome { Some(error) } else { None });
        outcome
    }

    async fn try_to_acquire(&self, record: Revision, sync: SyncNow) -> AcquireOutcome {
        let _turn = self.turn.lock().await;
        let _flight = self.fly();
        let mut outcome = AcquireOutcome::Lost;
        for _ in 0..TRIES {
            let plan = match self.plan(record, &sync).await {
                Ok(plan) => plan,
                Err(outcome) => return outcome,
            };
            let attempt = tanist_engine::Attempt(plan.record.attempt);
            match self.store.txn(plan.txn, self.attempt_timeout()).await {
                Ok(answer) if answer.succeeded => {
                    let now = self.clock.now();
                    let mut state = self.state();
                    let leader = KeyValue {
                        key: self.keys.leader(),
                        value: plan.record.holder.0.as_bytes().to_vec(),
                        create_revision: answer.revision,
                        mod_revision: answer.revision,
                        expiry: Some(plan.expiry),
                    };
                    return match state.wrote(answer.revision, plan.record, Some(leader), now) {
                        Some(held) => AcquireOutcome::Won(held),
                        None => AcquireOutcome::Lost,
                    };
                }
                Ok(mut answer) => {
                    let mut seen = || answer.reads.pop().flatten().map_or(Revision(0), |kv| kv.mod_revision);
                    let (initialize_seen, sync_seen) = (seen(), seen());
                    let now = self.clock.now();
                    let mut state = self.state();
                    state.clock.dropped(attempt);
                    state.take_failed(attempt);
                    state.fold(View::of(answer), now, now);
                    // An earlier attempt of ours, whose answer was lost, had landed.
                    if let Some(held) = state.held(now) {
                        return AcquireOutcome::Won(held);
                    }
                    if (sync_seen, initialize_seen) != (sync.revision, sync.initialize) {
                        return AcquireOutcome::ViewChanged;
                    }
                }
                Err(error) => {
                    if !error.may_have_landed() {
                        let mut state = self.state();
                        state.clock.dropped(attempt);
                        state.take_failed(attempt);
                    }
                    if error != StoreError::ExpiryGone {
                        return AcquireOutcome::Failed(error);
                    }
                    self.expiry.gone(plan.expiry);
                    outcome = AcquireOutcome::Failed(error);
                }
            }
        }
        outcome
    }

    async fn plan(&self, record: Revision, sync: &SyncNow) -> Result<Plan, AcquireOutcome> {
        let count = self.count(self.attempt_timeout()).await.map_err(AcquireOutcome::Failed)?;
        let expiry = self.hang_on(&count).await.map_err(AcquireOutcome::Failed)?;
        let now = self.clock.now();
        let mut state = self.state();
        match state.lease(now) {
            Lease::Vacant { record: seen, .. } if seen == record && !state.barred() => {}
            Lease::Mine(held) => return Err(AcquireOutcome::Won(held)),
            _ => return Err(AcquireOutcome::Lost),
        }
        let base: Epoch =
            state.base.value.clone().map_err(|error| AcquireOutcome::Failed(StoreError::Refused(error.to_string())))?;
        let leader = state.leader.as_ref().map_or(Revision(0), |leader| leader.mod_revision);
        let (me, nonce, ttl) = (state.me.clone(), state.nonce, state.ttl);
        let (from, counted) = count.of(now, ttl);
        let attempt = state.begin(from, counted);
        state.naming.begun(attempt, None, ttl);
        state.take_begun(record, attempt);
        let content = Record {
            holder: me.clone(),
            nonce,
            epoch: None,
            base,
            seq: 0,
            ttl,
            released: false,
            attempt: attempt.0,
            sync: sync.state.clone().map(|sync| tanist_engine::SyncState { revision: Revision(0), ..sync }),
            failsafe: None,
        };
        let mut otherwise = View::reads(&self.keys);
        otherwise.push(Op::Get(self.keys.sync()));
        otherwise.push(Op::Get(self.keys.initialize()));
        let txn = Txn {
            compares: vec![
                Compare::ModRevision(self.keys.lease(), record),
                Compare::ModRevision(self.keys.leader(), leader),
                Compare::ModRevision(self.keys.epoch(), state.base.revision),
                Compare::ModRevision(self.keys.sync(), sync.revision),
                Compare::ModRevision(self.keys.initialize(), sync.initialize),
            ],
            then: vec![
                Op::put(self.keys.lease(), content.encode()),
                Op::Put { key: self.keys.leader(), value: me.0.as_bytes().to_vec(), expiry: Some(expiry) },
                Op::put(self.keys.sync(), sync.value.clone()),
            ],
            otherwise,
        };
        Ok(Plan { txn, record: content, expiry })
    }
}
