//! Failsafe mode: a round of questions between agents, and the file of whom the own records may name. As the shipped executor does it.

use super::{
    World,
    agent::Agent,
    effects,
    event::{Event, Local},
};
use crate::{
    model::{
        network::Fate,
        store::{self, Op, Value},
    },
    mutant::Mutant,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tanist_engine::{
    Epoch, MemberName, Named, Postgres, ServerRole,
    failsafe::{Ask, Known, Round},
};

/// On the disk: outlives the agent.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The epoch it was written under.
    pub epoch: Epoch,
    /// The start nonce of the guard.
    pub nonce: u64,
    /// Everybody whom a record that may be in the store names.
    pub every: BTreeSet<(MemberName, String)>,
    /// The shortest ttl it may say.
    pub ttl: Duration,
}

impl Kept {
    /// Whom it names are these and no others.
    fn names(&self, named: &Named, every: &BTreeSet<(MemberName, String)>) -> bool {
        named.iter().all(|(name, url)| self.every.iter().any(|kept| (&kept.0, &kept.1) == (name, url)))
            && every.is_subset(&self.every)
            && self.every.iter().all(|kept| named.get(&kept.0) == Some(&kept.1) || every.contains(kept))
    }
}

/// A round under way.
#[derive(Clone, Debug)]
pub struct RoundUnderWay {
    round: Round,
    votes: BTreeMap<usize, Option<String>>,
}

impl World {
    /// Takes in what a node sees of failsafe mode. `true`: it is not as before.
    pub(super) fn see_failsafe(&mut self, node: usize) -> bool {
        let now = self.reading(node);
        let here = &mut self.nodes[node];
        let Agent { keeper, seen, .. } = &mut here.agent;
        let tidy = match (keeper.naming.next(), keeper.naming.every()) {
            (Some(named), Some(every)) => {
                let ttl = keeper.naming.ttl(keeper.ttl);
                let epoch = keeper.mine.as_ref().map(|mine| mine.epoch);
                here.kept.as_ref().is_some_and(|kept| Some(kept.epoch) == epoch && kept.ttl == ttl && kept.names(named, every))
            }
            _ => true,
        };
        keeper.see_failsafe(now, tidy, &mut seen.failsafe)
    }

    /// The next records name these: first the file, then the record, then the key.
    pub(super) fn name_failsafe(&mut self, node: usize, effect: usize, members: Option<Named>) {
        let early = self.options.without(Mutant::KeptBeforeLanding);
        let here = &mut self.nodes[node];
        let Some(epoch) = here.agent.keeper.mine.as_ref().map(|mine| mine.epoch) else {
            return self.end_later(node, effect, false);
        };
        let ttl = here.agent.keeper.naming.ttl(here.agent.keeper.ttl);
        let every = here.agent.keeper.naming.every().cloned().or(early.then(BTreeSet::new));
        here.kept = members.as_ref().zip(every).map(|(members, mut every)| {
            every.extend(members.iter().map(|(name, url)| (name.clone(), url.clone())));
            Kept { epoch, nonce: here.guard.nonce, every, ttl }
        });
        here.agent.keeper.naming.name(members.clone());
        let shown = here.agent.seen.store.failsafe == members;
        match members {
            _ if shown => self.end_later(node, effect, true),
            Some(members) => {
                self.leader_write(node, effect, vec![Op::Put(store::FAILSAFE, Value::Failsafe(members))], Vec::new())
            }
            None => self.leader_write(node, effect, vec![Op::Delete(store::FAILSAFE)], Vec::new()),
        }
    }

    /// Asks everybody who may take over.
    pub(super) fn ask_to_wait(&mut self, node: usize, epoch: Epoch) {
        let now = self.reading(node);
        let Some(round) = self.nodes[node].agent.keeper.round(epoch, now) else {
            return self.end_later(node, effects::WAIT, false);
        };
        let number = round.ask.round;
        let voters: Vec<usize> = round.voters.iter().filter_map(|(name, _)| self.find(name)).collect();
        let ask = round.ask.clone();
        self.nodes[node].agent.round = Some(RoundUnderWay { round, votes: BTreeMap::new() });
        for other in voters {
            self.send(node, other, Local::Asked { from: node, ask: Box::new(ask.clone()) });
        }
        let limit = if self.everybody_voted(node) { 0 } else { self.options.ttl / 5 };
        self.later(node, limit, Local::RoundEnds { round: number });
    }

    /// A message between two nodes, which may be late or lost.
    fn send(&mut self, from: usize, to: usize, what: Local) {
        if let Fate::In(after) = self.net.fate(from, to, &mut self.rng) {
            self.at(self.now + after, Event::Message { node: to, what: Box::new(what) });
        }
    }

    /// A node is asked.
    pub(super) fn asked(&mut self, node: usize, from: usize, ask: &Ask) {
        let now = self.reading(node);
        let here = &mut self.nodes[node];
        let agent = &mut here.agent;
        let server =
            matches!(&agent.seen.postgres, Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }));
        let known = Known {
            primary: server || here.guard.page.permit().is_some(),
            highest: agent.seen.store.primary.as_ref().map_or(Epoch::NONE, |face| face.epoch),
            promised: here.fence.clone(),
            ..Known::default()
        };
        let answer = agent.keeper.agree(ask, known, now);
        if answer.is_ok() {
            let asks = &self.nodes[from];
            let under_way = asks.agent.round.as_ref().is_some_and(|known| known.round.ask.round == ask.round);
            let counts = under_way && ask.nonce == asks.guard.nonce;
            if !counts {
                self.lands_late();
            }
            self.checks.terms.agrees(from, counts.then_some((ask.nonce, ask.round)), node, ask.epoch, now);
        }
        let refused = answer.err().map(|why| why.to_string());
        self.say_node(node, || match &refused {
            None => format!("agrees to wait for {} of epoch {}", ask.holder, ask.epoch),
            Some(why) => format!("does not agree to wait for {} of epoch {}: {why}", ask.holder, ask.epoch),
        });
        self.send(node, from, Local::Voted { round: ask.round, by: node, refused });
        self.turn(node);
    }

    /// An answer.
    pub(super) fn voted(&mut self, node: usize, round: u64, by: usize, refused: Option<String>) {
        let Some(under_way) = self.nodes[node].agent.round.as_mut().filter(|known| known.round.ask.round == round) else {
            return;
        };
        under_way.votes.insert(by, refused);
        if self.everybody_voted(node) {
            self.round_ends(node, round);
        }
    }

    fn everybody_voted(&self, node: usize) -> bool {
        let Some(RoundUnderWay { round, votes }) = &self.nodes[node].agent.round else { return false };
        round.voters.iter().filter_map(|(name, _)| self.find(name)).all(|voter| votes.contains_key(&voter))
    }

    /// All have answered, or the time is over.
    pub(super) fn round_ends(&mut self, node: usize, number: u64) {
        let agent = &mut self.nodes[node].agent;
        let Some(RoundUnderWay { mut round, votes }) = agent.round.take_if(|known| known.round.ask.round == number) else {
            return;
        };
        let now = self.reading(node);
        let refusal = round.voters.iter().find_map(|(name, _)| match votes.get(&self.find(name)?) {
            Some(None) => None,
            Some(Some(why)) => Some((name.clone(), why.clone())),
            None => Some((name.clone(), "no answer".to_owned())),
        });
        let outcome = refusal.filter(|_| !self.options.without(Mutant::HoldsThoughRefused)).map_or(Ok(()), Err);
        self.warrant(node, &round);
        if self.options.without(Mutant::HoldsFromAnswer) {
            round.sent = now;
        }
        let until = self.nodes[node].agent.keeper.end_round(&round, outcome, now);
        if let Some(until) = until {
            self.check_sustained(node, until);
            self.coverage.sustained += 1;
            self.say_node(node, || "everybody waits: the lease goes on without the store".into());
            let page = &mut self.nodes[node].guard.page;
            if page.permit().is_some_and(|permit| permit.epoch == round.ask.epoch) {
                page.extend(round.ask.epoch, until);
            }
        }
        self.end_effect(node, effects::WAIT, true);
        self.turn(node);
    }

    /// By the truth: has everybody agreed whom the record in the store names?
    fn warrant(&mut self, node: usize, round: &Round) {
        let Some(named) = self.store.snap.record().and_then(|(record, _)| record.failsafe.as_ref()) else { return };
        let needed: Vec<usize> = named.keys().filter_map(|name| self.find(name)).collect();
        let end = round.end(&self.nodes[node].agent.keeper.naming);
        self.checks.terms.sustains(node, (round.ask.nonce, round.ask.round), &needed, end);
    }
}
