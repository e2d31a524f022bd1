//! Writes of a leader: every one compares the acquisition number of its leader key, so none of an older leader can pass.

use super::{Keeper, WriteOutcome};
use crate::{Compare, Op, StoreError, Txn};
use std::time::Duration;

/// Most operations of one leader write; etcd's default limit is 128.
pub const MAX_OPS: usize = 64;

impl Keeper {
    /// Carries out `ops` in one transaction, if the leader key is the one of our acquisition and all of `compares` hold. May take
    /// `timeout`. Renewals go on meanwhile.
    pub async fn leader_write(&self, ops: Vec<Op>, compares: Vec<Compare>, timeout: Duration) -> WriteOutcome {
        if ops.len() + compares.len() > MAX_OPS {
            return WriteOutcome::Failed(StoreError::Refused(format!(
                "{} operations and comparisons",
                ops.len() + compares.len()
            )));
        }
        let Some(acquisition) = self.state().mine.as_ref().map(|mine| mine.acquisition) else { return WriteOutcome::Lost };
        let mut all = vec![Compare::ModRevision(self.keys.leader(), acquisition)];
        all.extend(compares);
        let txn = Txn { compares: all, then: ops, otherwise: vec![Op::Get(self.keys.leader())] };
        match self.store.txn(txn, timeout).await {
            Ok(answer) if answer.succeeded => WriteOutcome::Done(answer.revision),
            Ok(answer) => match answer.reads.into_iter().next().flatten() {
                Some(leader) if leader.mod_revision == acquisition => WriteOutcome::Conflict,
                _ => WriteOutcome::Lost,
            },
            Err(error) => WriteOutcome::Failed(error),
        }
    }
}
