//! After everything has healed: exactly one primary, shown, everybody follows it, queues drained, and it stays so.

use crate::{
    model::{
        clock::SEC,
        postgres::{Dir, Server},
        store::FAILOVER,
    },
    world::World,
};
use tanist_engine::{Epoch, Lease, MemberState, Role, Storage};

impl World {
    /// Known to need an operator, counted and not judged: where claims of timelines do not say which one was left (those of an older
    /// version), a standby whose timeline is no ancestor of the leader's although every begin recorded since lies behind its end; and the
    /// one standby of a strict cluster whose data have to be copied anew while `/sync` names it.
    fn stuck(&self, node: usize, leader: usize) -> bool {
        let pg = &self.nodes[node].pg;
        let refused = self.options.no_parents
            && pg.dir == Dir::Cluster
            && self.nodes[leader].pg.wal.send(pg.wal.timeline(), pg.wal.end(), pg.wal.end()).is_none();
        let named = self.store.snap.sync().is_some_and(|sync| self.sync_names(sync, node));
        let kept = pg.server == Server::Down && named && self.nodes[leader].agent.policy.synchronous.is_strict();
        refused || kept
    }

    /// Some standby is.
    fn any_stuck(&self, leader: usize) -> bool {
        (0..self.nodes.len()).any(|node| node != leader && self.stuck(node, leader))
    }

    /// It has the data of another cluster.
    fn is_foreign(&self, node: usize, leader: usize) -> bool {
        let pg = &self.nodes[node].pg;
        pg.dir == Dir::Cluster && pg.system != self.nodes[leader].pg.system
    }

    /// What was acknowledged is nowhere any more, by other hands than the cluster's: too few of those that `/sync` names have the data that
    /// they had, or nobody has any; or the last leader named others to wait for it, in failsafe mode. An operator decides who leads.
    fn robbed(&self) -> bool {
        let barred = |node: usize| self.nodes[node].agent.keeper.barred();
        let has = |node: usize| self.nodes[node].pg.dir == Dir::Cluster && !self.checks.robbed[node] && !barred(node);
        let nodes = 0..self.nodes.len();
        match self.store.snap.sync().filter(|sync| sync.leader.is_some()) {
            Some(sync) => {
                let leader = nodes.clone().any(|node| sync.leader.as_ref() == Some(&self.names[node]) && has(node));
                let standbys = nodes.filter(|node| sync.standbys.contains(&self.names[*node]) && has(*node)).count();
                !leader && standbys <= sync.quorum as usize
            }
            // Whoever is left may be too far behind.
            None => {
                let hindered = self.checks.robbed.contains(&true) || nodes.clone().any(barred);
                hindered && !nodes.clone().any(|node| self.can_write(node))
            }
        }
    }

    /// The member key of a node says what it is.
    fn told(&self, node: usize, leader: usize) -> bool {
        let wanted = if node == leader { (Role::Primary, MemberState::Running) } else { (Role::Replica, MemberState::Streaming) };
        self.store.snap.member(node).is_some_and(|member| {
            let follows = node == leader || member.follows == Some(self.epoch_of_lease());
            (member.role, member.state) == wanted
                && member.timeline.is_some_and(|timeline| timeline.0 == self.nodes[node].pg.wal.timeline())
                && member.storage == Storage::Good
                && follows
        })
    }

    fn epoch_of_lease(&self) -> Epoch {
        self.store.snap.record().map_or(Epoch::NONE, |(record, revision)| record.epoch_at(revision))
    }

    /// There is exactly one primary, and it is shown.
    pub(super) fn led(&self) -> Result<(), &'static str> {
        let Some(leader) = self.leader() else { return Err("nobody holds the lease") };
        if !self.can_write(leader) {
            return Err("the holder of the lease is not writable");
        }
        let Some(face) = self.store.snap.face() else { return Err("no primary is shown") };
        let Some((record, revision)) = self.store.snap.record() else { return Err("no record") };
        if face.name != self.names[leader] || face.epoch != record.epoch_at(revision) {
            return Err("the face is not that of the lease");
        }
        Ok(())
    }

    /// Nobody can be expected to heal it.
    pub(super) fn excused(&self) -> bool {
        self.robbed() || self.leader().is_some_and(|leader| self.any_stuck(leader))
    }

    /// All is well.
    pub(crate) fn well(&self, end: bool) -> Result<(), &'static str> {
        self.led()?;
        let Some(leader) = self.leader() else { return Err("nobody holds the lease") };
        for (node, here) in self.nodes.iter().enumerate() {
            // Data of a bootstrap that somebody else's overtook are left to the operator.
            if self.is_foreign(node, leader) || end && node != leader && self.stuck(node, leader) {
                continue;
            }
            if !self.told(node, leader) {
                return Err("a member key does not say what its node is");
            }
            if node == leader {
                continue;
            }
            if here.pg.server != Server::Standby {
                return Err("a node is not a standby");
            }
            if here.pg.connection.is_none_or(|(upstream, _)| upstream != leader) {
                return Err("a standby does not stream from the primary");
            }
            if here.pg.slot_differs {
                return Err("a standby does not use its slot");
            }
        }
        if self.store.snap.get(FAILOVER).is_some() && self.patroni.is_none() {
            return Err("a switchover is asked for and neither carried out nor refused");
        }
        if self.nodes.iter().any(|here| !here.queue.waiting.is_empty() || here.plugin.waits()) {
            return Err("callbacks wait");
        }
        // Without them the cluster is not what was asked for.
        if end && self.any_stuck(leader) {
            return Ok(());
        }
        self.as_asked(leader)
    }

    /// All has been well for two ttl and a turn of the loop since the healing, and is: from here on there are only renewals and client
    /// writes, and the rest of the 120 s is not simulated. One schedule of 8 runs to its end all the same. Of the brisk ones most are over
    /// as soon as all is well and told.
    pub(crate) fn is_over(&self) -> bool {
        let Some(since) = self.checks.well_at.filter(|_| !self.options.whole) else { return false };
        let short = self.options.brisk && !self.options.watched;
        let watched = if short { SEC } else { self.longest_ttl() * 2 + self.options.loop_wait };
        let told = || self.leader().is_some_and(|leader| self.untold(leader).is_none());
        self.now >= since + watched && self.well(false).is_ok() && (!short || told())
    }

    /// At the end.
    pub(crate) fn check_end(&mut self) {
        // A restored store may have forgotten the cluster, and then an operator decides.
        if self.checks.store_restored {
            return;
        }
        if self.robbed() {
            self.coverage.stuck += 1;
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
        self.check_owed();
        let Some(leader) = self.leader() else { return };
        if self.any_stuck(leader) {
            self.coverage.stuck += 1;
            return;
        }
        if let Some(text) = self.untold(leader) {
            self.violate("I6", text);
        }
    }

    /// The plugins of some node have not been told what it is.
    fn untold(&self, leader: usize) -> Option<String> {
        (0..self.nodes.len()).find_map(|node| {
            let expected = if node == leader { Role::Primary } else { Role::Replica };
            (!self.is_foreign(node, leader) && !self.has_told(node, expected))
                .then(|| format!("{} is {expected} and has not told it", self.names[node]))
        })
    }
}
