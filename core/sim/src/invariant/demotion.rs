//! A healthy primary is never demoted: whoever holds the lease in the store, is writable and shown stays so, unless something befell
//! this very node, or the store, that a lease cannot outlast.
//!
//! What a lease outlasts: an agent that is killed, a watch that breaks, a leader key that is deleted, plugins and other nodes in trouble,
//! slow jobs, a clock that is slewed, a change of mode; and one short blow (a quarter of ttl) to agent, link, store or PostgreSQL, the
//! guard's silence up to its half second. Two blows within one ttl are not one.

use crate::{
    fault::{Fault, Kind},
    model::{
        clock::{MS, SEC},
        postgres::Server,
        store::{FAILOVER, LEADER},
    },
    world::{World, event::Process, storage},
};
use std::time::Duration;
use tanist_engine::{Lease, Moment, Postgres, ServerRole, Upstream};

/// How hard a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    None,
    Light,
    Hard,
}

/// A lease may not outlast it: what it befalls may cease to lead.
pub(super) fn may_end(kind: Kind) -> bool {
    blow(kind, u64::MAX, 0) != Blow::None
}

/// What befell `node` concerns `here`.
pub(super) fn concerns(kind: Kind, node: usize, here: usize) -> bool {
    node == here || everywhere(kind)
}

fn everywhere(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::StoreDown
            | Kind::StoreElection
            | Kind::Restore
            | Kind::LeaderKeyTaken
            | Kind::Switchover
            | Kind::PauseBeforeOpening
    )
}

fn blow(kind: Kind, span: u64, ttl: u64) -> Blow {
    let up_to = |limit: u64| if span <= limit { Blow::Light } else { Blow::Hard };
    match kind {
        Kind::WatchGap
        | Kind::LeaderKeyDeleted
        | Kind::PluginTrouble
        | Kind::CancelWaits
        | Kind::SlowReload
        | Kind::SlowReplication
        | Kind::CopyFails
        | Kind::SlowStart
        | Kind::SlowPromote
        | Kind::SlowStop
        | Kind::SlowFence
        | Kind::Mode
        | Kind::Ttl
        | Kind::ReplayPaused
        | Kind::ReplayBlocked
        | Kind::StartupFrozen
        | Kind::LosesWrites
        | Kind::Failsafe
        | Kind::CutNodes
        | Kind::CutOneWay
        | Kind::Slew => Blow::None,
        Kind::StorageHang if span < storage::TIMEOUT => Blow::None,
        Kind::AgentKill => Blow::Light,
        Kind::StoreElection if ttl >= 10 * SEC => Blow::Light,
        Kind::GuardPause | Kind::GuardAndAgentPause | Kind::Freeze => up_to(500 * MS),
        Kind::AgentPause
        | Kind::CutFromStore
        | Kind::CutRequests
        | Kind::CutAnswers
        | Kind::Isolate
        | Kind::StoreDown
        | Kind::StoreElection
        | Kind::VmPause
        | Kind::PostgresHang => up_to(ttl / 4),
        Kind::SlowStore
        | Kind::LossyStore
        | Kind::Restore
        | Kind::GuardKill
        | Kind::PostgresKill
        | Kind::PowerLoss
        | Kind::Switchover
        | Kind::StopService
        | Kind::LeaderKeyTaken
        | Kind::DirectoryLost
        | Kind::DirectoryReplaced
        | Kind::StorageHang
        | Kind::StorageFull
        | Kind::PauseBeforeOpening => Blow::Hard,
    }
}

impl World {
    /// A fault begins on a node.
    pub(crate) fn harm(&mut self, node: usize, fault: &Fault) {
        let (ttl, end) = (self.shortest_ttl(), self.now + fault.span);
        let longest = self.longest_ttl();
        // Two hangs of the storage in one another are one, as long as both.
        let hangs_since = self.hangs_since(node).filter(|_| fault.kind == Kind::StorageHang);
        let blow = blow(fault.kind, end - hangs_since.unwrap_or(self.now), ttl);
        let forgotten = fault.kind == Kind::AgentKill && self.epoch_is_new(node);
        for here in 0..self.nodes.len() {
            // A blow that goes on is judged by the shorter ttl.
            let shortened = fault.kind == Kind::Ttl && self.now < self.checks.struck[here];
            if shortened || forgotten && here == node {
                self.checks.harmed[here] = self.checks.harmed[here].max(end + 2 * longest + 25 * SEC);
            }
            if blow == Blow::None || !concerns(fault.kind, node, here) {
                continue;
            }
            let (harmed, struck) = (&mut self.checks.harmed[here], &mut self.checks.struck[here]);
            // What is late because of it: messages that land after 14 s, a shutdown that takes 20 s.
            if blow == Blow::Hard || self.now < *struck + ttl {
                *harmed = (*harmed).max(end + 2 * longest + 25 * SEC);
            }
            *struck = (*struck).max(end);
        }
    }

    /// The leader key was put back under a newer epoch, or is about to be, and the guard is not armed for it yet: an agent that is started
    /// now does not know the lease for its own, because it is taken up by the epoch on the guard's page.
    fn epoch_is_new(&self, node: usize) -> bool {
        let record = self.store.snap.record().filter(|(record, _)| record.holder == self.names[node]);
        let armed = self.armed_epoch(node);
        let other = record.is_some_and(|(record, revision)| armed.is_some_and(|armed| armed != record.epoch_at(revision)));
        other || self.store.snap.get(LEADER).is_none()
    }

    /// An agent stops its server. A primary is not stopped for others while the store is silent: nobody could lead. A standby that streams
    /// from the primary, or becomes consistent with what it sends, is stopped only where somebody asked for that, or its data go.
    pub(crate) fn check_stopped(&mut self, node: usize) {
        let here = &self.nodes[node];
        let (seen, memory) = (&here.agent.seen, &here.agent.memory);
        if let (Server::Primary, Lease::Mine(held), false) = (here.pg.server, &seen.lease, seen.stopping) {
            // An agent that has adopted a lease has renewed it under no name of its own yet.
            let age = if held.renewed == Moment::ZERO { Duration::ZERO } else { self.reading(node).boot.since(held.renewed) };
            if age > here.agent.policy.ttl * 2 / 5 + Duration::from_millis(500) {
                let text = format!("{} is stopped in order while the store is silent", self.names[node]);
                return self.violate("demotion", text);
            }
        }
        let streams = here.pg.server == Server::Standby && here.pg.connection.is_some_and(|(from, _)| self.can_write(from));
        let asked = seen.stopping || seen.restart.is_some() || memory.restart_begun.is_some() || memory.must_replace.is_some();
        // It knows what it has seen.
        let known = match &seen.postgres {
            Postgres::Running(running) => matches!(running.role, ServerRole::Standby { streaming: true, .. }),
            _ => false,
        };
        // What it starts with goes on sending what it needs.
        let continues =
            |from: usize| self.nodes[from].pg.wal.send(here.pg.wal.timeline(), here.pg.wal.end(), here.pg.wal.end()).is_some();
        let shown = self.store.snap.face().and_then(|face| self.find(&face.name)).filter(|shown| self.can_write(*shown));
        // Promoted anew it may not.
        let same = |shown: usize, upstream: &Upstream| {
            upstream.name == self.names[shown] && self.nodes[shown].pg.writable_epoch <= upstream.epoch
        };
        let from = shown.filter(|shown| here.pg.upstream.as_ref().is_some_and(|upstream| same(*shown, upstream)));
        let starts = matches!(here.pg.server, Server::Starting { as_primary: false, .. }) && here.pg.rewound;
        if starts && from.is_some_and(continues) && !asked && !self.checks.store_restored {
            let text = format!("{} becomes consistent with what its leader sends, and is stopped", self.names[node]);
            return self.violate("demotion", text);
        }
        if streams && known && !asked && !self.checks.store_restored {
            self.violate("demotion", format!("{} streams and is stopped", self.names[node]));
        }
    }

    /// The guard fences at the end of a permission. One of a lease that this node has given up ended with it: a standby is not fenced for
    /// it.
    pub(crate) fn check_fenced(&mut self, node: usize) {
        let armed = self.armed_epoch(node);
        let held = self.store.snap.record().is_some_and(|(record, revision)| {
            record.holder == self.names[node] && !record.released && Some(record.epoch_at(revision)) == armed
        });
        let here = &self.nodes[node];
        // Whoever stood still may not have come to it.
        let knows = here.runs(Process::Agent) && here.agent.mirror.watching && self.now > self.checks.struck[node] + SEC;
        let standby = matches!(here.pg.server, Server::Standby | Server::Starting { as_primary: false, .. });
        if standby && !held && knows && !self.checks.store_restored {
            self.violate("demotion", format!("{} is a standby and is fenced at the end of a permission", self.names[node]));
        }
    }

    /// The server of a node is about to end. A switchover that was asked for is carried out when somebody can take over, however late.
    pub(crate) fn check_demotion(&mut self, node: usize) {
        let primary = self.nodes[node].pg.server == Server::Primary;
        if primary {
            self.checks.ended[node] = self.now;
        }
        // Until the cluster has shown it, what was just made may be given up and made anew.
        let shown = self.store.snap.face().is_some_and(|face| face.name == self.names[node]);
        let held = self.store.snap.record().is_some_and(|(record, _)| record.holder == self.names[node] && !record.released);
        if primary && self.store.snap.get(FAILOVER).is_some() {
            self.checks.blamed[node] = self.checks.blamed[node].max(self.now);
            return;
        }
        if primary && shown && held && self.now > self.checks.harmed[node] && !self.checks.store_restored {
            let text = format!("{} holds the lease and is healthy, and its PostgreSQL is ended", self.names[node]);
            self.violate("demotion", text);
        }
    }
}
