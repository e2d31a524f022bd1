//! I1: no two nodes are writable at once, but for a node on which neither guard nor agent can run, a virtual machine whose clocks
//! missed a pause, and shortly after.

use crate::world::World;

impl World {
    /// After every event.
    pub(crate) fn check(&mut self) {
        let mut writable = 0;
        for node in 0..self.nodes.len() {
            let here = &self.nodes[node];
            let excused = here.exempt_until > self.now;
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
        if self.healed {
            self.check_well();
        }
    }
}
