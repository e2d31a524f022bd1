//! I1: no two nodes are writable at once, but for a node on which neither guard nor agent can run, a virtual machine whose clocks
//! missed a pause, and shortly after.
//!
//! And but for one case after a store was restored from a backup under a running leader: a node whose agent has not seen the store since
//! the backup was made, or was started after it was put in place, takes the backup's released record for the present; the leader,
//! forgotten by the store, is writable until it notices, at most a ttl.

use crate::world::World;

impl World {
    /// A leader that the store has forgotten, and that another node could not know of.
    fn forgotten(&self, node: usize) -> bool {
        let Some(restored) = self.checks.restore.as_ref() else { return false };
        let started = |other: usize| self.nodes[other].agent.life != restored.lives[other];
        let blind = |other: usize| other != node && (restored.blind[other] || started(other)) && self.can_write(other);
        self.now < restored.at + self.longest_ttl() && restored.primary == Some(node) && (0..self.nodes.len()).any(blind)
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
        if self.healed {
            self.check_bounds();
        }
    }
}
