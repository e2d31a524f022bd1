//! What tags forbid: whoever may not lead takes no lease, and `/sync` names nobody who may not lead or shall not be waited for.

use crate::world::World;
use tanist_engine::Tags;

/// By hand, not by the engine's own words, which would judge themselves.
pub(super) fn may_lead(tags: Tags) -> bool {
    !tags.nofailover && tags.failover_priority != Some(0)
}

impl World {
    /// Somebody took the lease.
    pub(super) fn check_may_lead(&mut self, winner: usize) {
        if !may_lead(self.options.tags(winner)) {
            self.violate("tags", format!("{} may not lead and takes the lease", self.names[winner]));
        }
    }

    /// `/sync` was written.
    pub(super) fn check_may_be_named(&mut self) {
        let Some(sync) = self.store.snap.sync().filter(|_| !self.checks.store_restored) else { return };
        let wrong = (0..self.nodes.len()).find(|node| {
            let tags = self.options.tags(*node);
            sync.standbys.contains(&self.names[*node]) && (tags.nosync || !may_lead(tags))
        });
        if let Some(node) = wrong {
            self.violate("tags", format!("/sync names {}, whose tags forbid it", self.names[node]));
        }
    }
}
