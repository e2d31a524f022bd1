//! After everything has healed: exactly one primary, shown, everybody follows it, queues drained, and it stays so.

use crate::{
    model::postgres::{Dir, Server},
    world::World,
};
use tanist_engine::{Lease, Role};

impl World {
    /// Known to need an operator, counted and not judged: a standby whose timeline is no ancestor of the leader's although every begin
    /// recorded since lies behind its end (the claims do not say which timeline another one left), and the one standby of a strict
    /// cluster whose data have to be copied anew while `/sync` names it.
    fn stuck(&self, node: usize, leader: usize) -> bool {
        let pg = &self.nodes[node].pg;
        let refused = pg.server == Server::Standby
            && self.nodes[leader].pg.wal.send(pg.wal.timeline(), pg.wal.end(), pg.wal.end()).is_none();
        let named = self.store.snap.sync().is_some_and(|sync| self.sync_names(sync, node));
        let kept = pg.server == Server::Down && named && self.nodes[leader].agent.policy.synchronous.is_strict();
        refused || kept
    }

    /// All is well.
    fn well(&self, end: bool) -> Result<(), &'static str> {
        let Some(leader) = self.leader() else { return Err("nobody holds the lease") };
        if !self.can_write(leader) {
            return Err("the holder of the lease is not writable");
        }
        let Some(face) = self.store.snap.face() else { return Err("no primary is shown") };
        let Some((record, revision)) = self.store.snap.record() else { return Err("no record") };
        if face.name != self.names[leader] || face.epoch != record.epoch_at(revision) {
            return Err("the face is not that of the lease");
        }
        for (node, here) in self.nodes.iter().enumerate() {
            // Data of a bootstrap that somebody else's overtook are left to the operator.
            let foreign = here.pg.dir == Dir::Cluster && here.pg.system != self.nodes[leader].pg.system;
            if node == leader || foreign || end && self.stuck(node, leader) {
                continue;
            }
            if here.pg.server != Server::Standby {
                return Err("a node is not a standby");
            }
            if here.pg.connection.is_none_or(|(upstream, _)| upstream != leader) {
                return Err("a standby does not stream from the primary");
            }
        }
        if self.nodes.iter().any(|here| !here.queue.waiting.is_empty()) {
            return Err("callbacks wait");
        }
        Ok(())
    }

    /// After every event of the second phase.
    pub(crate) fn check_well(&mut self) {
        if self.checks.well_at.is_some() {
            return;
        }
        if self.well(false).is_ok() {
            self.checks.well_at = Some(self.now);
            let took = self.now.saturating_sub(self.options.heal_at);
            self.coverage.slowest_heal = self.coverage.slowest_heal.max(took);
        }
    }

    /// All has been well for 3 ttl and two turns of the loop since the healing, and is: from here on there are only renewals and client
    /// writes, and the rest of the 120 s is not simulated. One schedule of 8 runs to its end all the same.
    pub(crate) fn is_over(&self) -> bool {
        let Some(since) = self.checks.well_at.filter(|_| !self.options.whole) else { return false };
        let watched = self.options.ttl * 3 + self.options.loop_wait * 2;
        self.now >= since + watched && self.well(false).is_ok()
    }

    /// At the end.
    pub(crate) fn check_end(&mut self) {
        // A restored store may have forgotten the cluster, and then an operator decides.
        if self.checks.store_restored {
            return;
        }
        if let Err(why) = self.well(true) {
            let nodes: Vec<String> = self
                .nodes
                .iter()
                .map(|here| {
                    let lease = match &here.agent.seen.lease {
                        Lease::Unknown => "unknown",
                        Lease::Vacant { .. } => "vacant",
                        Lease::Mine(_) => "mine",
                        Lease::Theirs(_) => "theirs",
                    };
                    format!("{} {:?} lease {lease} queue {}", here.agent.seen.me, here.pg.server, here.queue.waiting.len())
                })
                .collect();
            return self.violate("liveness", format!("{why}: {}", nodes.join("; ")));
        }
        let Some(leader) = self.leader() else { return };
        if (0..self.nodes.len()).any(|node| node != leader && self.stuck(node, leader)) {
            self.coverage.stuck += 1;
            return;
        }
        for node in 0..self.nodes.len() {
            let announced = self.nodes[node].agent.memory.announced;
            let expected = if self.leader() == Some(node) { Role::Primary } else { Role::Replica };
            let foreign = self.nodes[node].pg.dir == Dir::Cluster
                && self.leader().is_some_and(|leader| self.nodes[leader].pg.system != self.nodes[node].pg.system);
            if announced != Some(expected) && !foreign {
                let text = format!("{} is {expected} and has announced {announced:?}", self.names[node]);
                self.violate("I6", text);
            }
        }
    }
}
