//! A store that has gone back to an older state: what this node knew of the lease before, and still goes by.

use super::state::State;
use std::time::Duration;
use tanist_engine::{HolderClock, Reading, Revision};

impl State {
    /// The store has another history: its revisions cannot be compared with ours, and a lease of the old one is worth nothing.
    pub(super) fn forget(&mut self, now: Reading) {
        self.kept_out = self.barred();
        self.known = Revision(0);
        self.mine = None;
        self.recorded = None;
        self.clock = HolderClock::default();
        self.observer.forget(now, self.last_good.as_ref().map_or(Duration::ZERO, |good| good.ttl));
        self.stale = true;
        self.naming.unknown();
    }

    /// A write of ours landed below what was known when it was sent: it landed in a store that was restored from a backup, where nobody
    /// knows who has taken the lease since.
    pub(super) fn landed_in_another(&mut self, revision: Revision, now: Reading) -> bool {
        let other = revision <= self.sent;
        if other {
            self.forget(now);
        }
        other
    }
}
