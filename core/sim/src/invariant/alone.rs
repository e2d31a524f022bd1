//! What one fault may cost: where all is well and one thing befalls one node, or the store, and nothing else anybody, the cluster is
//! without a primary that acknowledges no longer than a failover takes; it does not wait for whatever is away to come back. And where
//! failsafe mode is on, the store or the leader's way to it may be away for as long as it likes.

use super::tags::may_lead;
use crate::{
    fault::{Fault, Kind},
    model::{clock::SEC, postgres::Server, store::FAILOVER},
    world::World,
};
use tanist_engine::{Member, MemberState, Role};

/// A commit that has waited for so long is not served.
const SERVED: u64 = SEC;

/// A lease that is handed over is not waited for: a fence or an orderly stop, a promotion, a proof.
const HANDED_OVER: u64 = 5 * SEC;

/// Beside the lease that has to run out: a race, a promotion, a proof; a connection that ends late (6 s), and whoever is waited for then.
const TAKE_OVER: u64 = 10 * SEC;

/// A connection over a link that was cut, however shortly, ends within.
const CONNECTION: u64 = 6 * SEC;

/// One fault that is under way, or over, and nothing else since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone {
    kind: Kind,
    leader: usize,
    /// Failsafe mode keeps the leader until then.
    stays: Option<u64>,
    /// Since then nobody is served.
    since: Option<u64>,
    /// The leader has ceased to be writable.
    ended: bool,
    /// Whoever could lead then did not seem so at some time since, or was further behind than is allowed.
    unready: bool,
    /// It was shut down in order and had told where its history ends, and nobody had enough of that: a connection had ended meanwhile.
    awaited: bool,
    /// Who leads when somebody is served again after that.
    next: Next,
}

/// Who leads after a fault of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Anybody,
    Another,
    TheSame,
    /// This one.
    This(usize),
}

/// Links between nodes are cut.
fn cuts(kind: Kind) -> bool {
    matches!(kind, Kind::CutNodes | Kind::CutOneWay | Kind::Isolate)
}

/// The guard or the agent lives and knows at once that this node cannot lead any more.
fn hands_over(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Switchover | Kind::StopService | Kind::GuardKill | Kind::PostgresKill | Kind::StorageFull | Kind::DirectoryLost
    )
}

/// It befalls one node, whose agent or server may be gone with it.
fn befalls_one(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::CutFromStore
            | Kind::CutRequests
            | Kind::CutAnswers
            | Kind::Isolate
            | Kind::WatchGap
            | Kind::LeaderKeyDeleted
            | Kind::AgentKill
            | Kind::AgentPause
            | Kind::GuardPause
            | Kind::GuardKill
            | Kind::GuardAndAgentPause
            | Kind::PostgresKill
            | Kind::PostgresHang
            | Kind::Freeze
            | Kind::VmPause
            | Kind::PowerLoss
            | Kind::StopService
            | Kind::Switchover
            | Kind::PluginTrouble
            | Kind::DirectoryLost
            | Kind::StorageHang
            | Kind::StorageFull
    )
}

impl World {
    /// A fault begins on a node: nothing is alone any more, or this one is.
    pub(crate) fn begin_alone(&mut self, node: usize, fault: &Fault) {
        self.checks.alone = None;
        let Some(leader) = self.leader().filter(|_| self.patroni.is_none() && !self.checks.store_restored) else { return };
        let over = |other: &Fault| other.at + (other.span + SEC).max(if cuts(other.kind) { CONNECTION } else { 0 });
        let others = self.faults.iter().filter(|other| other.at <= self.now && over(other) >= self.now).count();
        let named = self.store.snap.record().is_some_and(|(record, _)| record.failsafe.is_some());
        let away = fault.kind == Kind::StoreDown || fault.kind == Kind::CutFromStore && node == leader;
        let asked = |node: usize| self.nodes[node].agent.seen.stopping || self.nodes[node].agent.seen.restart.is_some();
        let switches = self.store.snap.get(FAILOVER).is_some() || (0..self.nodes.len()).any(asked);
        if others != 1 || switches || !(befalls_one(fault.kind) || away && named) || self.well(false).is_err() {
            return;
        }
        // A strict cluster needs one to lead and one to acknowledge.
        let left = self.able(leader).iter().filter(|name| **name != self.names[node]).count() + usize::from(node != leader);
        if left < if self.nodes[leader].agent.policy.synchronous.is_strict() { 2 } else { 1 } {
            return;
        }
        let stays = (away && named).then(|| self.now + fault.span + self.longest_ttl());
        let next = if node == leader { self.next_after(fault, leader) } else { Next::Anybody };
        self.checks.alone =
            Some(Alone { kind: fault.kind, leader, stays, since: None, ended: false, unready: false, awaited: false, next });
    }

    /// Who leads after this fault of the leader: `primary_start_timeout` says it for a crash, the service manager for a stop.
    fn next_after(&self, fault: &Fault, leader: usize) -> Next {
        let synchronous = self.nodes[leader].agent.policy.synchronous.is_on();
        match fault.kind {
            Kind::PostgresKill => match self.options.start_timeout {
                Some(limit) if limit.is_zero() => Next::Another,
                Some(_) => Next::TheSame,
                None if synchronous => Next::Another,
                None => Next::TheSame,
            },
            Kind::StopService if !fault.choice.is_multiple_of(4) => Next::Another,
            // An operator who waits no longer takes his request back.
            Kind::StopService if fault.span > 3 * SEC => Next::TheSame,
            Kind::GuardKill => Next::Another,
            _ => Next::Anybody,
        }
    }

    /// An operator asks for a switchover of a cluster in which all is well: whoever is asked for and may lead does, and the leader is not
    /// stopped for anybody else.
    pub(crate) fn asked_for(&mut self, leader: Option<usize>, candidate: Option<usize>) {
        let Some(alone) = self.checks.alone.filter(|alone| alone.kind == Kind::Switchover) else { return };
        let here = alone.leader;
        let sync = self.store.snap.sync().filter(|sync| sync.leader.is_some());
        let synchronous = self.nodes[here].agent.policy.synchronous.is_on();
        // The mode has come into force, or has not yet.
        if sync.is_some() != synchronous {
            return;
        }
        let next = match candidate {
            _ if leader.is_some_and(|leader| leader != here) => Next::TheSame,
            Some(candidate) => {
                let barred = !may_lead(self.options.tags(candidate));
                let unnamed = sync.is_some_and(|sync| !sync.standbys.contains(&self.names[candidate]));
                if candidate == here || barred || unnamed { Next::TheSame } else { Next::This(candidate) }
            }
            None => Next::Another,
        };
        self.checks.alone = Some(Alone { next, ..alone });
    }

    /// After every event.
    pub(crate) fn check_alone(&mut self) {
        let Some(mut alone) = self.checks.alone else { return };
        let writes = self.can_write(alone.leader);
        alone.ended |= !writes;
        alone.unready = alone.unready || alone.ended && !self.all_ready(alone.leader);
        alone.awaited = alone.awaited || alone.ended && self.is_awaited(alone.leader);
        if alone.ended && alone.kind == Kind::Switchover && alone.next == Next::TheSame {
            let text = format!("{} is stopped for a switchover that cannot be", self.names[alone.leader]);
            return self.violate("switchover", text);
        }
        if !writes && alone.stays.is_some_and(|until| self.now <= until) {
            let text = format!("{} cannot write any more although failsafe mode keeps it", self.names[alone.leader]);
            return self.violate("failsafe", text);
        }
        // Without the store nobody is named in `/sync` in the place of another.
        if self.is_served() || alone.stays.is_some() {
            if alone.ended {
                self.check_next(alone);
                alone.next = Next::Anybody;
            }
            self.checks.alone = Some(Alone { since: None, ..alone });
            return;
        }
        let since = alone.since.unwrap_or(self.now);
        self.checks.alone = Some(Alone { since: Some(since), ..alone });
        let ttl = self.longest_ttl();
        // In a strict cluster somebody has to stream from the new leader first.
        let soon = hands_over(alone.kind) && !self.nodes[alone.leader].agent.policy.synchronous.is_strict();
        let most = if soon { HANDED_OVER } else { ttl + ttl / 10 + TAKE_OVER };
        if self.now > since + most && !alone.awaited {
            let text = format!("nobody acknowledges for {} ms after {:?} alone", (self.now - since) / 1_000_000, alone.kind);
            self.violate("availability", text);
        }
    }

    /// Somebody is served again.
    fn check_next(&mut self, alone: Alone) {
        let same = self.can_write(alone.leader);
        if alone.unready {
            return;
        }
        let wrong = match alone.next {
            Next::Anybody => false,
            Next::Another => same,
            Next::TheSame => !same,
            // Refused, where it was a little too far behind.
            Next::This(candidate) => !same && !self.can_write(candidate),
        };
        if wrong {
            let text = format!(
                "{} {} after {:?} alone",
                self.names[alone.leader],
                if same { "leads" } else { "leads no more" },
                alone.kind
            );
            self.violate("availability", text);
        }
    }

    /// Every other node leads, or seems to be able to and is not far behind. A write of a member key from before may land late, and says
    /// until it is written over that the member cannot lead.
    fn all_ready(&self, leader: usize) -> bool {
        let ready = |member: &Member| {
            member.role == Role::Replica && matches!(member.state, MemberState::Running | MemberState::Streaming)
        };
        (0..self.nodes.len())
            .filter(|node| *node != leader)
            .all(|node| self.can_write(node) || self.is_near(node, leader) && self.store.snap.member(node).is_some_and(ready))
    }

    fn is_near(&self, node: usize, leader: usize) -> bool {
        let end = self.nodes[leader].pg.wal.end();
        end.saturating_sub(self.nodes[node].pg.wal.end()) <= self.options.maximum_lag
    }

    /// Nobody may lead before it comes back.
    fn is_awaited(&self, leader: usize) -> bool {
        let pg = &self.nodes[leader].pg;
        let told = pg.server == Server::Down && pg.clean;
        told && (0..self.nodes.len()).all(|node| node == leader || !self.is_near(node, leader))
    }

    /// A write of `/sync` that was given up has landed late, or somebody waits because of a question that was: what was alone is not.
    pub(crate) fn lands_late(&mut self) {
        self.checks.alone = None;
    }

    /// A node is shown as the primary, can write, and acknowledges.
    fn is_served(&self) -> bool {
        let Some(shown) = self.store.snap.face().and_then(|face| self.find(&face.name)) else { return false };
        let pg = &self.nodes[shown].pg;
        self.can_write(shown) && pg.waiting.first().is_none_or(|first| first.since + SERVED > self.now)
    }
}
