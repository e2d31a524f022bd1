//! A strict cluster acknowledges nothing that is on one node alone: once its leader knows of the mode and has had commits wait, they wait
//! until the mode is another one.

use crate::world::{World, view};
use tanist_engine::{SyncMode, SyncNames};

/// By hand, not by the engine's own words, which would judge themselves.
fn is_strict(mode: SyncMode) -> bool {
    matches!(mode, SyncMode::On { strict: true, .. } | SyncMode::Quorum { strict: true, .. })
}

impl World {
    /// A commit was acknowledged.
    pub(super) fn check_strict(&mut self, node: usize) {
        let asked = view::config(&self.store.snap).is_some_and(|config| is_strict(config.mode));
        let here = &self.nodes[node];
        if !(asked && is_strict(here.agent.policy.synchronous)) || self.checks.store_restored {
            self.checks.strict[node] = false;
            return;
        }
        // Whatever process still has the names before.
        let waits = here.pg.names_in_use().all(|names| *names != SyncNames::Nobody);
        if !waits && self.checks.strict[node] {
            let text = format!("{} acknowledges a commit of a strict cluster for which nobody waited", self.names[node]);
            return self.violate("strict", text);
        }
        self.checks.strict[node] |= waits;
    }
}
