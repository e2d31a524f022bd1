//! Whether a node was well and undisturbed for long, so that it can be expected to do what it should. Used by the checks that say who
//! ought to have come first.

use crate::{
    fault::{Fault, Kind},
    model::{clock::SEC, postgres::Server},
    world::{World, event::PROCESSES},
};

impl World {
    /// A fault begins on a node: what it concerns is shaken, in whatever way, until some time after its end.
    pub(crate) fn shake(&mut self, node: usize, fault: &Fault) {
        let until = self.now + fault.span + 2 * self.longest_ttl() + 5 * SEC;
        let all = matches!(fault.kind, Kind::Mode | Kind::Ttl | Kind::CutNodes | Kind::CutOneWay | Kind::Restore);
        for here in 0..self.nodes.len() {
            if all || super::demotion::concerns(fault.kind, node, here) {
                self.checks.shaken[here] = self.checks.shaken[here].max(until);
            }
        }
    }

    /// A standby that could lead: undisturbed for long, with nothing else to do, on storage that is good, and with a position that has not
    /// moved since the others may have asked for it, while the lease was running out.
    pub(crate) fn could_lead(&self, node: usize) -> bool {
        let here = &self.nodes[node];
        let ready = here.pg.server == Server::Standby
            && here.pg.exhausted
            && here.pg.grew_at + self.longest_ttl() * 3 / 10 + SEC < self.now;
        let agent = &here.agent;
        let free = agent.memory.no_lead_until.is_none() && agent.seen.job.is_none() && !agent.seen.directory_replaced;
        let free = free && agent.seen.storage.state == tanist_engine::Storage::Good;
        let runs = PROCESSES.iter().all(|process| here.runs(*process));
        runs && ready && free && self.undisturbed(node) && self.options.tags(node).may_lead() && !here.stop_wanted
    }

    /// Nothing has befallen it for long.
    pub(crate) fn undisturbed(&self, node: usize) -> bool {
        self.now > self.checks.shaken[node] && !self.checks.store_restored
    }
}
