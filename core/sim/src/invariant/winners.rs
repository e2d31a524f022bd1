//! Who ought to lead next. Asynchronous mode: of the standbys that are well the one that has most, so that a failover loses no more than
//! it must. And whoever the lease was handed to, if he is well.

use crate::{
    model::{
        clock::MS,
        postgres::{Dir, Server},
    },
    world::{World, view},
};
use std::time::Duration;
use tanist_engine::{Lsn, MemberName, Timeline};

/// Whoever races has asked the others so long before.
const ASKED: Duration = Duration::from_secs(1);

/// From the end of the lease to the acquisition by somebody who had asked before.
const AT_ONCE: u64 = 600 * MS;

impl World {
    /// Somebody took a lease that another one had.
    pub(crate) fn check_race(&mut self, winner: usize) {
        // Whom an operator has asked for while nobody led goes first.
        if self.store.snap.face().is_none() || self.checks.store_restored || self.is_asked_for(winner) {
            return;
        }
        let heir = self.handed().and_then(|to| self.find(&to));
        if let Some(heir) = heir {
            if heir != winner && self.may_follow(heir) && self.could_lead(heir) && !self.strayed(heir) && !self.waits(heir, ASKED)
            {
                let (winner, heir) = (&self.names[winner], &self.names[heir]);
                let text = format!("{winner} took the lease that was handed to {heir}, which is well");
                return self.violate("heir", text);
            }
            if heir != winner {
                return;
            }
        }
        let synchronous = view::config(&self.store.snap).is_none_or(|config| config.mode.is_on());
        let named = self.store.snap.sync().is_some_and(|sync| sync.leader.is_some());
        // Whoever is handed the lease goes at once, whatever befell him.
        if synchronous || named || heir != Some(winner) && !self.undisturbed(winner) {
            return;
        }
        // An old leader whose guard and agent stand still goes on writing, and a standby goes on receiving after it has said what it has.
        if (0..self.nodes.len()).any(|node| node != winner && self.can_write(node)) {
            return;
        }
        // By the number of the timeline, which is claimed in the order of epochs: whoever stood still in the middle of a promotion
        // opens the older one last, and has left the cluster's history.
        let reach = |node: usize| (self.nodes[node].pg.wal.timeline(), self.nodes[node].pg.wal.end());
        let able: Vec<usize> = (0..self.nodes.len()).filter(|node| *node != winner && self.could_lead(*node)).collect();
        let awaited = |other: usize| {
            able.iter().any(|node| *node != other && (reach(*node) >= reach(other) || self.did_not_know(other, *node)))
        };
        let patience = Duration::from_nanos(self.longest_ttl());
        let better = (0..self.nodes.len()).find(|other| {
            let same = self.nodes[*other].pg.system == self.nodes[winner].pg.system;
            *other != winner
                && same
                && reach(*other) > reach(winner)
                && self.could_lead(*other)
                && !self.strayed(*other)
                && !self.waits(*other, ASKED)
                && !self.did_not_know(winner, *other)
                && !self.received_since(winner, *other)
                // It was bound, too, and now gives another one, who has as much or may have, the time that the winner gave it before.
                && !(self.waits(*other, ASKED + patience) && awaited(*other))
        });
        if let Some(better) = better {
            let text = format!("{} took the lease although {}, which is well, has more", self.names[winner], self.names[better]);
            self.violate("race", text);
        }
    }

    /// Asynchronous mode: a crashed primary that could be started again has given its lease up, and nobody else is near enough to take it.
    pub(crate) fn check_gave_way(&mut self, node: usize) {
        let here = &self.nodes[node];
        let agent = &here.agent;
        let crashed = here.pg.server == Server::Down && here.pg.dir == Dir::Cluster && here.pg.was_primary && !here.pg.clean;
        // For nothing else than that.
        let decided = agent.reason == "fail-over-after-crash";
        let named = self.store.snap.sync().is_some_and(|sync| sync.leader.is_some());
        if !(crashed && decided) || named || agent.policy.synchronous.is_on() || self.checks.store_restored {
            return;
        }
        let optime = self.store.snap.optime().map_or(0, |optime| optime.0);
        let near = |other: usize| optime.saturating_sub(self.nodes[other].pg.wal.end()) <= self.options.maximum_lag;
        let whole = |other: usize| self.nodes[other].pg.dir == Dir::Cluster && !self.strayed(other);
        if !(0..self.nodes.len()).any(|other| other != node && near(other) && whole(other)) {
            let text = format!("{} gives way, and everybody else is too far behind to lead", self.names[node]);
            self.violate("race", text);
        }
    }

    fn is_asked_for(&self, node: usize) -> bool {
        self.checks.asked_for.as_ref() == Some(&self.names[node])
    }

    /// Failsafe mode keeps it from taking the lease, or did so long before: it has agreed to wait for the old leader, or was not
    /// named by it.
    fn waits(&self, node: usize, margin: Duration) -> bool {
        self.nodes[node].agent.keeper.holds_off(self.reading(node), margin)
    }

    /// The winner, who went at once, asked it when somebody still wrote, and it received more after its answer: a leader whose agent stands
    /// still writes until its guard ends it, shortly before the end of the lease. Whoever does not go at once asks again.
    fn received_since(&self, winner: usize, other: usize) -> bool {
        let asked = self.nodes[winner].agent.seen.peers.iter().find(|peer| peer.name == self.names[other]).map(|peer| peer.asked);
        let age = asked.map_or(0, |asked| self.reading(winner).boot.since(asked).as_nanos() as u64);
        let wrote = |(node, ended): (usize, &u64)| node != winner && *ended + age >= self.now;
        let ahead = self.longest_ttl() * 3 / 10 + AT_ONCE;
        age <= ahead && self.checks.ended.iter().enumerate().any(wrote)
    }

    /// Asked by the winner, it could not say yet where its own WAL ends, for as long as that is waited for.
    fn did_not_know(&self, winner: usize, other: usize) -> bool {
        let answers = &self.nodes[winner].agent.seen.peers;
        answers
            .iter()
            .any(|peer| peer.name == self.names[other] && peer.answer.as_ref().is_some_and(|answer| answer.position.is_none()))
    }

    /// A later timeline, up to that of the last proved primary, begins before its end.
    fn strayed(&self, node: usize) -> bool {
        let wal = &self.nodes[node].pg.wal;
        let (own, end) = (Timeline(wal.timeline()), Lsn(wal.end()));
        let shown = self.store.snap.face().map_or(own, |face| face.timeline);
        let mut later = self.store.snap.claims().iter().filter(|claim| claim.timeline > own && claim.timeline <= shown);
        later.any(|claim| claim.begin.is_some_and(|begin| end > begin))
    }

    /// In whose favour the lease was given up that is being taken now.
    fn handed(&self) -> Option<MemberName> {
        self.checks.handed.as_ref().map(|handoff| handoff.to.clone())
    }

    /// `/sync`, as it was when the lease was handed over, lets him lead; without one, he is near enough.
    fn may_follow(&self, heir: usize) -> bool {
        let behind = self.store.snap.optime().map_or(0, |optime| optime.0.saturating_sub(self.nodes[heir].pg.wal.end()));
        if behind > self.options.maximum_lag {
            return false;
        }
        self.store
            .snap
            .sync()
            .filter(|sync| sync.leader.is_some())
            .is_none_or(|sync| sync.quorum == 0 && sync.standbys.contains(&self.names[heir]))
    }
}
