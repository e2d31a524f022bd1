//! The lease's ttl, which operators change while the cluster runs.

use super::World;

impl World {
    /// The ttl in force on a node.
    pub fn ttl(&self, node: usize) -> u64 {
        self.nodes.get(node).map_or(self.options.ttl, |here| here.agent.keeper.ttl.as_nanos() as u64)
    }

    /// The longest that was ever in force: what checks have to be patient for.
    pub fn longest_ttl(&self) -> u64 {
        self.checks.ttls.1.max(self.options.ttl)
    }

    /// The shortest that was ever in force: what a fault has to be short for.
    pub fn shortest_ttl(&self) -> u64 {
        self.checks.ttls.0.min(self.options.ttl)
    }
}
