//! The guard's contract: once the deadline was taken, only a new permission lets anything become writable.

use crate::world::World;
use tanist_engine::Epoch;

impl World {
    /// The guard took the deadline of a node, or (`false`) gave a new permission.
    pub(crate) fn deadline_taken(&mut self, node: usize, taken: bool) {
        self.checks.taken[node] = taken;
    }

    /// The guard lets PostgreSQL become writable.
    pub(crate) fn check_permission(&mut self, node: usize, epoch: Epoch) {
        if self.checks.taken[node] {
            let text = format!("{} becomes writable by a permission that the guard has taken", self.names[node]);
            return self.violate("guard", text);
        }
        if self.nodes[node].exempt_until > self.now || self.checks.store_restored {
            return;
        }
        let held = self.store.snap.record().is_some_and(|(record, revision)| {
            // A leader key put back meanwhile is a new epoch of the same lease: it restarts nothing.
            let same = record.holder == self.names[node] && record.nonce == self.nodes[node].guard.nonce;
            same && !record.released && record.epoch_at(revision) >= epoch
        });
        if !held {
            self.violate("I3", format!("{} is made writable under epoch {epoch}, which it does not hold", self.names[node]));
        }
    }
}
