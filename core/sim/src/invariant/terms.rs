//! I3: the holder counts on its lease exactly as long as its own attempts warrant.
//!
//! *Not longer*: never beyond the send of the newest attempt of this node that landed in the store, plus a term. *Not shorter*: whoever
//! was shown the record of an attempt that its own process sent less than a term ago counts on it; whatever became of the answer.
//! *Nobody before*: a record is called vacant only if it was still the newest in the store when the node can have asked.

use crate::{
    model::{
        clock::SEC,
        record::Record,
        store::{LEADER, LEASE, Snap},
    },
    world::World,
};
use std::{collections::VecDeque, rc::Rc, time::Duration};
use tanist_engine::{Epoch, Lease, Reading, holder_term};

/// Attempts remembered per node.
const ATTEMPTS: usize = 128;
/// Superseded records remembered.
const RECORDS: usize = 64;

/// An attempt to write the record.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    life: u32,
    end: Reading,
}

/// What is true of one node's attempts.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    sent: VecDeque<Sent>,
    /// The latest end that a landed attempt warrants, on each clock.
    warranted: Option<Reading>,
    /// The newest keys the present agent has been shown, its life, and when the record of them was first shown.
    shown: Option<(u32, Rc<Snap>, Reading)>,
    /// Who has agreed to the newest round of this node, with the start nonce of its guard and the number: after a reboot rounds are
    /// numbered from low again, and a question of before may still arrive.
    agreed: ((u64, u64), Vec<usize>),
    /// The last time this node agreed to wait, and for which epoch.
    heard: Option<(Epoch, Reading)>,
    /// The record revision last called vacant.
    vacant: u64,
}

/// Terms of all nodes, and when each record ceased to be the newest.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    nodes: Vec<Attempts>,
    superseded: VecDeque<(u64, u64)>,
}

impl Terms {
    /// For so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self { nodes: vec![Attempts::default(); nodes], superseded: VecDeque::new() }
    }

    /// An attempt is about to be handed to the client.
    pub fn sends(&mut self, node: usize, life: u32, number: u64, now: Reading, ttl: Duration) {
        let sent = &mut self.nodes[node].sent;
        if sent.len() == ATTEMPTS {
            sent.pop_front();
        }
        sent.push_back(Sent { number, life, end: now.plus(holder_term(ttl)) });
    }

    /// The store has taken a record over the one of that revision.
    pub fn landed(&mut self, holder: Option<usize>, record: &Record, before: u64, at: u64) {
        if self.superseded.len() == RECORDS {
            self.superseded.pop_front();
        }
        self.superseded.push_back((before, at));
        let Some(attempts) = holder.map(|holder| &mut self.nodes[holder]) else { return };
        let Some(sent) = attempts.sent.iter().rev().find(|sent| sent.number == record.attempt) else { return };
        attempts.warranted = Some(match attempts.warranted {
            None => sent.end,
            Some(known) => Reading { boot: known.boot.max(sent.end.boot), raw: known.raw.max(sent.end.raw) },
        });
    }

    /// A node has agreed to wait in a round of another one.
    ///
    /// `round`: nonce of the guard and number; nothing when the holder does not wait for its answer, or its guard runs no more. A question
    /// of an earlier round that was read late warrants nothing, and its number does not tell: after a power loss numbers follow a boot
    /// clock that has begun anew.
    pub fn agrees(&mut self, holder: usize, round: Option<(u64, u64)>, by: usize, epoch: Epoch, now: Reading) {
        self.nodes[by].heard = Some((epoch, now));
        let Some(round) = round else { return };
        let agreed = &mut self.nodes[holder].agreed;
        if agreed.0 != round {
            *agreed = (round, Vec::new());
        }
        agreed.1.push(by);
    }

    /// Everybody whom the record in the store names has agreed to this round: the lease is warranted that long.
    pub fn sustains(&mut self, holder: usize, round: (u64, u64), needed: &[usize], end: Reading) {
        let attempts = &mut self.nodes[holder];
        let all = needed.iter().all(|node| *node == holder || attempts.agreed.0 == round && attempts.agreed.1.contains(node));
        if let Some(known) = attempts.warranted.as_mut().filter(|_| all) {
            *known = Reading { boot: known.boot.max(end.boot), raw: known.raw.max(end.raw) };
        }
    }

    /// How long the lease of a node is warranted.
    pub fn warranted(&self, node: usize) -> Reading {
        self.nodes[node].warranted.unwrap_or_default()
    }

    /// An agent was shown the store's keys.
    pub fn shows(&mut self, node: usize, life: u32, snap: &Rc<Snap>, now: Reading) {
        let shown = &mut self.nodes[node].shown;
        let known = shown.as_ref().filter(|(known, _, _)| *known == life);
        if known.is_some_and(|(_, older, _)| older.revision > snap.revision) {
            return;
        }
        let same = known.filter(|(_, older, _)| older.revision_of(LEASE) == snap.revision_of(LEASE));
        let since = same.map_or(now, |(_, _, since)| *since);
        *shown = Some((life, snap.clone(), since));
    }

    /// The newest revision of the store that a node's agent has seen.
    pub fn last_seen(&self, node: usize) -> u64 {
        self.nodes[node].shown.as_ref().map_or(0, |(_, snap, _)| snap.revision)
    }

    /// The life of the agent that has seen it.
    pub fn life_seen(&self, node: usize) -> u32 {
        self.nodes[node].shown.as_ref().map_or(0, |(life, _, _)| *life)
    }

    /// When a node has last heard of the leader of an epoch by agreeing to wait for it.
    pub fn heard(&self, node: usize, epoch: Epoch) -> Option<Reading> {
        self.nodes[node].heard.filter(|(known, _)| *known == epoch).map(|(_, at)| at)
    }

    /// The record that the present agent has seen last, and since when.
    pub fn seen(&self, node: usize) -> Option<(&Record, u64, Reading)> {
        let (_, snap, since) = self.nodes[node].shown.as_ref()?;
        snap.record().map(|(record, revision)| (record, revision, *since))
    }

    /// The node's clocks begin anew.
    pub fn rebooted(&mut self, node: usize) {
        self.nodes[node] = Attempts::default();
    }
}

impl World {
    /// At every turn of a node.
    pub(crate) fn check_terms(&mut self, node: usize, now: Reading) {
        if self.checks.store_restored {
            return;
        }
        let text = match &self.nodes[node].agent.seen.lease {
            Lease::Mine(_) if self.lags(node) => self.overlooked(node, now),
            Lease::Mine(_) => self.beyond(node, now).or_else(|| self.overlooked(node, now)),
            Lease::Vacant { record, released: false, .. } => self.too_early(node, record.0, now),
            _ => self.overlooked(node, now),
        };
        if let Some(text) = text {
            self.violate("I3", text);
        }
    }

    /// A lease goes on without the store only as long as all agree whom the record names.
    pub(crate) fn check_sustained(&mut self, node: usize, until: Reading) {
        let warranted = self.checks.terms.warranted(node);
        if self.lags(node) {
            return;
        }
        if (until.boot > warranted.boot || until.raw > warranted.raw) && !self.checks.store_restored {
            let text = format!("{} holds on until {until:?}, and not all agree whom its record names", self.names[node]);
            self.violate("I3", text);
        }
    }

    /// The node is a virtual machine whose clocks missed a pause less than a lease ago. Answers to the last round before it, read after it,
    /// are younger by these clocks than they are, and the lease of whoever has waited long enough meanwhile is not warranted by them: I1's
    /// exception, which its own check bounds.
    fn lags(&self, node: usize) -> bool {
        self.now < self.nodes[node].behind_until
    }

    fn beyond(&self, node: usize, now: Reading) -> Option<String> {
        let until = self.nodes[node].agent.keeper.until().filter(|until| now.left_until(*until) > Duration::ZERO)?;
        let warranted = self.checks.terms.nodes[node].warranted.unwrap_or_default();
        let over = until.boot > warranted.boot || until.raw > warranted.raw;
        over.then(|| format!("{} counts on its lease until {until:?}, its attempts warrant {warranted:?}", self.names[node]))
    }

    fn overlooked(&self, node: usize, now: Reading) -> Option<String> {
        let (agent, attempts) = (&self.nodes[node].agent, &self.checks.terms.nodes[node]);
        let (_, snap, _) = attempts.shown.as_ref().filter(|(life, _, _)| *life == agent.life)?;
        let (record, revision) = snap.record()?;
        if record.holder != self.names[node] || record.nonce != agent.keeper.nonce || record.released {
            return None;
        }
        let acquisition = record.acquisition_at(revision);
        let whole = snap.get(LEADER).is_none_or(|leader| leader.revision == acquisition);
        let sent = attempts.sent.iter().rev().find(|sent| sent.number == record.attempt && sent.life == agent.life)?;
        let left = now.left_until(sent.end);
        let counted = agent.keeper.until().is_some_and(|until| until.boot >= sent.end.boot && until.raw >= sent.end.raw);
        (whole && left > Duration::ZERO && !counted).then(|| {
            format!("{} was shown that its attempt landed, has {left:?} left, and does not count on it", self.names[node])
        })
    }

    fn too_early(&mut self, node: usize, record: u64, now: Reading) -> Option<String> {
        let longest = self.longest_ttl();
        let attempts = &mut self.checks.terms.nodes[node];
        if std::mem::replace(&mut attempts.vacant, record) == record {
            return None;
        }
        let (_, at) = *self.checks.terms.superseded.iter().find(|(before, _)| *before == record)?;
        // A question lasts ttl/5; an agent that stood still reads its answer late.
        let stood_still = now.boot.as_nanos() < self.nodes[node].agent.lenient_until + longest;
        let late = self.now.saturating_sub(at);
        (late > longest / 5 + SEC / 2 && !stood_still).then(|| {
            format!("{} calls the lease vacant by a record that was renewed {} ms ago", self.names[node], late / 1_000_000)
        })
    }
}
