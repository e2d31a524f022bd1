//! Keeping the lease: one comparing write, and the leader key put back when the store lost it.

use super::{Keeper, Record, RenewOutcome, beside::Count, state::Mine, view::View};
use crate::{Compare, ExpiryId, KeyValue, Op, StoreError, Txn};
use std::time::Duration;
use tanist_engine::{Attempt, Revision};

/// Attempts of one call, as long as time is left. Each has a number of its own.
const TRIES: u32 = 16;
/// Pause after an attempt that failed at once; grows with each, up to a tenth of the time.
const PAUSE: Duration = Duration::from_millis(20);

/// What one attempt needs.
struct Plan {
    txn: Txn,
    record: Record,
    /// The leader key is put back, on this expiry.
    puts_back: Option<ExpiryId>,
}

impl Keeper {
    /// Renews the lease. Takes at most ttl/5.
    pub async fn renew(&self) -> RenewOutcome {
        let outcome = self.renew_in_time().await;
        self.note(if let RenewOutcome::Failed(error) = &outcome { Some(error) } else { None });
        outcome
    }

    async fn renew_in_time(&self) -> RenewOutcome {
        let begun = self.clock.now();
        let budget = self.attempt_timeout();
        let _turn = self.turn.lock().await;
        let _flight = self.fly();
        let mut failure = StoreError::Unavailable("no time was left for an attempt".to_owned());
        for turn in 1..=TRIES {
            let left = budget.saturating_sub(self.clock.now().most_since(begun));
            if left.is_zero() {
                break;
            }
            let pause = (PAUSE * turn).min(budget / 10).min(left);
            let count = match self.count(left.min(budget / 3)).await {
                Ok(count) => count,
                Err(error) => {
                    failure = error;
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            let plan = match self.renewal(count).await {
                Ok(Some(plan)) => plan,
                Ok(None) => return RenewOutcome::Lost,
                Err(error) => return RenewOutcome::Failed(error),
            };
            let attempt = Attempt(plan.record.attempt);
            // A part of the time: when a member hangs, or lost the request together with its leader, the next attempt reaches another one
            // in the same call. An earlier one that lands after all fails the next one's comparison, and is found by the read beside it.
            match self.store.txn(plan.txn, left.min(budget / 3)).await {
                Ok(answer) if answer.succeeded => {
                    let now = self.clock.now();
                    let mut state = self.state();
                    let leader = plan.puts_back.map(|expiry| KeyValue {
                        key: self.keys.leader(),
                        value: plan.record.holder.0.as_bytes().to_vec(),
                        create_revision: answer.revision,
                        mod_revision: answer.revision,
                        expiry: Some(expiry),
                    });
                    return match state.wrote(answer.revision, plan.record, leader, now) {
                        Some(held) => RenewOutcome::Renewed(held),
                        None => RenewOutcome::Lost,
                    };
                }
                Ok(answer) => {
                    // The other branch is the linearizable read: an earlier attempt of ours landed, the leader key is gone, or the
                    // lease is lost. Folded, the next turn knows which.
                    let now = self.clock.now();
                    let mut state = self.state();
                    state.clock.dropped(attempt);
                    state.fold(View::of(answer), now, now);
                }
                Err(error) => {
                    if !error.may_have_landed() {
                        self.state().clock.dropped(attempt);
                    }
                    match (&error, plan.puts_back) {
                        (StoreError::Refused(_), _) => return RenewOutcome::Failed(error),
                        (StoreError::ExpiryGone, Some(expiry)) => self.expiry.gone(expiry),
                        _ => tokio::time::sleep(pause).await,
                    }
                    failure = error;
                }
            }
        }
        match self.state().mine {
            Some(_) => RenewOutcome::Failed(failure),
            None => RenewOutcome::Lost,
        }
    }

    /// The next attempt; `None`: there is nothing to renew.
    async fn renewal(&self, count: Count) -> Result<Option<Plan>, StoreError> {
        let whole = {
            let state = self.state();
            if state.mine.is_none() {
                return Ok(None);
            }
            state.own_leader().is_some()
        };
        let puts_back = if whole { None } else { Some(self.hang_on(&count).await?) };
        let now = self.clock.now();
        let mut state = self.state();
        let Some(Mine { revision, record, epoch, acquisition }) = state.mine.clone() else { return Ok(None) };
        let ttl = state.clock.ttl_to_write(now, state.ttl);
        let (from, counted) = count.of(now, ttl);
        let attempt = state.begin(from, counted);
        let failsafe = state.naming.next().cloned();
        state.naming.begun(attempt, failsafe.as_ref(), ttl);
        let record = Record { seq: record.seq.saturating_add(1), ttl, attempt: attempt.0, failsafe, ..record };
        let mut txn = Txn { otherwise: View::reads(&self.keys), ..Txn::default() };
        txn.compares.push(Compare::ModRevision(self.keys.lease(), revision));
        let record = match puts_back {
            None => {
                txn.compares.push(Compare::ModRevision(self.keys.leader(), acquisition));
                Record { epoch: Some(epoch), ..record }
            }
            Some(expiry) => {
                // The key is absent, or carries our name under another number: an acquisition by the same holder.
                let seen = state.leader.as_ref().map_or(Revision(0), |leader| leader.mod_revision);
                txn.compares.push(Compare::ModRevision(self.keys.leader(), seen));
                txn.compares.push(Compare::ModRevision(self.keys.epoch(), state.base.revision));
                let base = state.base.value.clone().map_err(|error| StoreError::Refused(error.to_string()))?;
                let value = record.holder.0.as_bytes().to_vec();
                txn.then.push(Op::Put { key: self.keys.leader(), value, expiry: Some(expiry) });
                Record { epoch: None, base, ..record }
            }
        };
        txn.then.push(Op::put(self.keys.lease(), record.encode()));
        Ok(Some(Plan { txn, record, puts_back }))
    }
}
