//! Whoever is shown that somebody else has the lease, or its leader key, ends its writable PostgreSQL by itself: the guard's deadline comes
//! too late where the other one is a Patroni, which knows the key alone.

use crate::{
    model::clock::{MS, SEC},
    world::{World, event::Process},
};
use tanist_engine::{FenceState, Lease};

/// A look at the server that was under way, a promotion that has just ended.
const NOTICED: u64 = 1_500 * MS;

impl World {
    /// At every turn of a node.
    pub(crate) fn check_usurped(&mut self, node: usize) {
        let here = &self.nodes[node];
        let theirs = matches!(&here.agent.seen.lease, Lease::Theirs(theirs) if theirs.holder != self.names[node]);
        let left_alone = theirs && self.can_write(node) && here.guard.page.fence == FenceState::Open && here.runs(Process::Guard);
        if !left_alone {
            self.checks.usurped[node] = None;
            return;
        }
        // Whoever stood still meanwhile has only just seen it.
        let lenient = here.agent.lenient_until + SEC > self.reading(node).boot.as_nanos();
        let since = *self.checks.usurped[node].get_or_insert(self.now);
        if self.now > since + NOTICED && !lenient && !self.checks.store_restored {
            let text = format!(
                "{} sees the lease with another and has been writable for {} ms since",
                self.names[node],
                (self.now - since) / MS
            );
            self.violate("I1", text);
        }
    }
}
