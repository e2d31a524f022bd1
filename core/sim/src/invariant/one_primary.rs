//! I1: no two nodes are writable at once, but for a node on which neither guard nor agent can run, a virtual machine whose clocks
//! missed a pause, and shortly after.
//!
//! And but for one case after a store was restored from a backup under a running leader: a node whose agent has not seen the store since
//! the backup was made, was started after it was put in place, or reads it when it has come past the revision that the agent knew, takes
//! the backup's released record for the present; the leader, forgotten by the store, is writable until it notices, at most a ttl. In
//! failsafe mode it asks those whom its record named; whom it did not name has never heard of it. Then it is writable until one of those
//! whom it asks has seen the backup, and a ttl longer (`docs/failure-modes.md`).

use crate::world::World;
use std::time::Duration;
use tanist_engine::observer_patience;

/// Whoever sees that the store has forgotten it is not writable any more after this.
const NOTICES: Duration = Duration::from_secs(1);

impl World {
    /// A leader that the store has forgotten, and that another node could not know of.
    fn forgotten(&self, node: usize) -> bool {
        let Some(restored) = self.checks.restore.as_ref() else { return false };
        let started = |other: usize| self.nodes[other].agent.life != restored.lives[other];
        let blind = |other: usize| other != node && (restored.blind[other] || started(other)) && self.can_write(other);
        let soon = self.now < restored.at + self.longest_ttl() && (0..self.nodes.len()).any(blind);
        restored.leaders[node] && (soon || self.is_sustained_unheard(node))
    }

    /// Failsafe mode holds this leader, nobody whom it asks knows that the store is a backup, or not for long, and another one leads whom
    /// it does not ask.
    fn is_sustained_unheard(&self, node: usize) -> bool {
        let keeper = &self.nodes[node].agent.keeper;
        let Some(named) = keeper.naming.every() else {
            // It has just reached the store, and ends.
            return keeper.observer.went_back().is_some_and(|at| self.reading(node).least_since(at) < NOTICES);
        };
        let asked = |other: usize| other != node && named.iter().any(|(name, _)| *name == self.names[other]);
        let patience = observer_patience(Duration::from_nanos(self.longest_ttl()));
        let knows = |other: usize| {
            let here = &self.nodes[other].agent;
            here.alive && here.keeper.observer.went_back().is_some_and(|at| self.reading(other).least_since(at) >= patience)
        };
        let nodes = 0..self.nodes.len();
        !nodes.clone().any(|other| asked(other) && knows(other))
            && nodes.clone().any(|other| other != node && !asked(other) && self.can_write(other))
    }

    /// After every event.
    pub(crate) fn check(&mut self) {
        let mut writable = 0;
        for node in 0..self.nodes.len() {
            let here = &self.nodes[node];
            let excused = here.exempt_until > self.now || self.forgotten(node);
            if self.can_write(node) && !excused {
                writable += 1;
            }
        }
        if writable > 1 {
            let who: Vec<String> = (0..self.nodes.len())
                .filter(|node| self.can_write(*node))
                .map(|node| format!("{} (epoch {})", self.names[node], self.writable_epoch(node)))
                .collect();
            self.violate("I1", format!("writable at once: {}", who.join(", ")));
        }
        self.check_beside_patroni(writable);
        self.check_alone();
        if self.healed {
            self.check_bounds();
        }
    }
}
