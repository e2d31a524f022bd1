//! Short effects, carried out as the shipped executor does.

use super::{
    World,
    agent::{Purpose, Under},
    event::{Command, Inside, Local, Process},
    lease::Kind,
};
use crate::{
    model::{
        clock::{MS, SEC},
        config::Config,
        guard::Permit,
        postgres::{Server, Walsender},
        store::{self, Key, Op, Txn, Value},
    },
    mutant::Mutant,
};
use std::time::Duration;
use tanist_engine::{
    Action, Connection, Endpoint, Epoch, Member, MemberFace, Peer, Promise, SyncState, Timeline, TimelineClaim, WriteProof,
};

/// Kinds of effects.
pub const COUNT: usize = 20;
/// Taking the lease.
pub const ACQUIRE: usize = 0;
/// Renewing it.
pub const RENEW: usize = 1;
/// Giving it up.
pub const RELEASE: usize = 2;
/// A fence.
pub const FENCE: usize = 3;
const NAMES: usize = 4;
const SYNC: usize = 5;
const INITIALIZE: usize = 6;
const TIMELINES: usize = 7;
const PROVE: usize = 8;
const PRIMARY: usize = 9;
/// The member key.
pub const MEMBER: usize = 10;
const STATUS: usize = 11;
const SWITCHOVER: usize = 12;
const PEERS: usize = 13;
const PROMISE: usize = 14;
const DATA: usize = 15;
const CHECKPOINT: usize = 16;
const NAMING: usize = 17;
/// Asking the members to wait.
pub const WAIT: usize = 18;
const CONNECTIONS: usize = 19;

/// The kind of an action; nothing for jobs and for what is done on the spot.
pub fn kind(action: &Action) -> Option<usize> {
    Some(match action {
        Action::Acquire { .. } => ACQUIRE,
        Action::Renew => RENEW,
        Action::Release { .. } => RELEASE,
        Action::Fence => FENCE,
        Action::SetSyncNames(_) => NAMES,
        Action::WriteSync { .. } => SYNC,
        Action::WriteInitialize { .. } => INITIALIZE,
        Action::ClaimTimeline { .. } | Action::RecordTimeline { .. } => TIMELINES,
        Action::Prove { .. } => PROVE,
        Action::PublishPrimary(_) => PRIMARY,
        Action::PublishMember(_) => MEMBER,
        Action::PublishStatus { .. } => STATUS,
        Action::ClearSwitchover { .. } => SWITCHOVER,
        Action::AskPeers => PEERS,
        Action::WritePromise { .. } => PROMISE,
        Action::RaiseData { .. } => DATA,
        Action::EndConnections { .. } => CONNECTIONS,
        Action::Checkpoint => CHECKPOINT,
        Action::NameFailsafe { .. } => NAMING,
        Action::AskToWait { .. } => WAIT,
        Action::AdoptDirectory | Action::Arm { .. } | Action::Disarm | Action::Run(_) | Action::Emit(_) | Action::Exit => {
            return None;
        }
    })
}

fn rest(effect: usize) -> Duration {
    Duration::from_millis(match effect {
        ACQUIRE | RENEW | FENCE | PROVE => 50,
        STATUS | PEERS => 1000,
        _ => 200,
    })
}

/// Its result is seen in the store's keys.
fn shown_by_store(effect: usize) -> bool {
    matches!(effect, SYNC | PROMISE | DATA | INITIALIZE | TIMELINES | PRIMARY | SWITCHOVER | NAMING)
}

/// A write that no news of the store has followed may be written again after this.
const UNSHOWN: Duration = Duration::from_millis(200);

impl World {
    /// An effect has ended.
    pub fn end_effect(&mut self, node: usize, effect: usize, done: bool) {
        let now = self.reading(node).boot;
        let waits = !self.options.eager && shown_by_store(effect);
        let state = &mut self.nodes[node].agent.effects[effect];
        *state = match *state {
            _ if !done => Under::Rest(now + rest(effect)),
            Under::Way { news: false } if waits => Under::Unshown(now + UNSHOWN),
            _ => Under::Free,
        };
        if effect == NAMES {
            self.nodes[node].agent.names_valid_from = now;
            self.kick(node);
        }
    }

    /// The store has shown an agent something: what it had taken before is among it, or is written once more.
    pub(super) fn effects_hear(&mut self, node: usize) {
        for state in &mut self.nodes[node].agent.effects {
            match state {
                Under::Way { news } => *news = true,
                Under::Unshown(_) => *state = Under::Free,
                Under::Free | Under::Rest(_) => {}
            }
        }
    }

    /// Begins a short effect.
    pub fn begin_effect(&mut self, node: usize, effect: usize, action: Action) {
        match action {
            Action::Acquire { record } => self.acquire(node, record.0),
            Action::Renew => {
                let begun = self.reading(node);
                self.begin_lease(node, Kind::Renew { begun, puts_back: false });
            }
            Action::Release { handoff, clear_switchover } => {
                if self.nodes[node].agent.keeper.mine.is_none() {
                    return self.end_later(node, effect, true);
                }
                self.begin_lease(node, Kind::Release { handoff, clear_switchover });
            }
            Action::Fence => self.command(node, Command::Fence),
            Action::SetSyncNames(names) => {
                if !self.options.without(Mutant::NamesSetIsInForce) {
                    let agent = &mut self.nodes[node].agent;
                    agent.names_valid_from = tanist_engine::Moment::MAX;
                    agent.seen.postgres.names_unknown();
                }
                self.set_names(node, names);
            }
            Action::WriteSync { state, data } => {
                let mut compares = vec![(store::SYNC, state.revision.0)];
                let marks = data.iter().filter_map(|mark| Some((self.store.snap.data(self.find(&mark.name)?), mark.revision.0)));
                compares.extend(marks);
                self.leader_write(node, effect, vec![Op::Put(store::SYNC, Value::Sync(state))], compares);
            }
            Action::WriteInitialize { system_id } => {
                let mut ops = vec![Op::Put(store::INITIALIZE, Value::Initialize(system_id))];
                let mut compares = vec![(store::INITIALIZE, 0)];
                if self.mirrored(node, store::CONFIG) == 0 {
                    ops.push(Op::Put(store::CONFIG, Value::Config(Config::of(&self.nodes[node].agent.policy))));
                    compares.push((store::CONFIG, 0));
                }
                self.leader_write(node, effect, ops, compares);
            }
            Action::ClaimTimeline { timeline, epoch, parent } => {
                self.claim(node, effect, TimelineClaim { timeline, epoch, begin: None, parent });
            }
            Action::RecordTimeline { timeline, epoch, begin, parent } => {
                self.claim(node, effect, TimelineClaim { timeline, epoch, begin: Some(begin), parent });
            }
            Action::Prove { epoch } => {
                let took = self.rng.range(MS, 20 * MS);
                self.later(node, took, Local::Proof { epoch });
            }
            Action::PublishPrimary(face) => {
                self.leader_write(node, effect, vec![Op::Put(store::PRIMARY, Value::Primary(face))], Vec::new());
            }
            Action::PublishMember(face) => {
                let member = self.member(node, &face);
                self.nodes[node].agent.member = Some(member.clone());
                self.put_member(node, member, Purpose::Member);
            }
            Action::PublishStatus { optime } => {
                self.leader_write(node, effect, vec![Op::Put(store::STATUS, Value::Status(optime))], Vec::new());
            }
            Action::ClearSwitchover { revision } => {
                self.leader_write(node, effect, vec![Op::Delete(store::FAILOVER)], vec![(store::FAILOVER, revision.0)]);
            }
            Action::Checkpoint => {
                let took = self.rng.range(10 * MS, 3 * SEC);
                self.later(node, took, Local::Inside(super::event::Inside::Checkpointed));
                self.later(node, took, Local::EffectEnded { effect, done: true });
            }
            Action::AskPeers => self.ask_peers(node),
            Action::WritePromise { epoch, position, revision } => {
                let (name, key) = (self.names[node].clone(), self.store.snap.promise(node));
                let promise = Promise { name, revision, epoch, position };
                self.put_over(node, effect, (key, revision.0), Value::Promise(promise));
            }
            Action::EndConnections { connections, .. } => self.end_connections(node, &connections),
            Action::RaiseData { revision } => {
                let key = self.store.snap.data(node);
                self.put_over(node, effect, (key, revision.0), Value::Data(self.names[node].clone()));
            }
            Action::NameFailsafe { members } => self.name_failsafe(node, effect, members),
            Action::AskToWait { epoch } => self.ask_to_wait(node, epoch),
            Action::AdoptDirectory | Action::Arm { .. } | Action::Disarm | Action::Run(_) | Action::Emit(_) | Action::Exit => {}
        }
    }

    pub(super) fn end_later(&mut self, node: usize, effect: usize, done: bool) {
        self.later(node, MS, Local::EffectEnded { effect, done });
    }

    fn mirrored(&self, node: usize, key: Key) -> u64 {
        self.nodes[node].agent.mirror.snap.as_ref().map_or(0, |snap| snap.revision_of(key))
    }

    fn acquire(&mut self, node: usize, record: u64) {
        let agent = &self.nodes[node].agent;
        let sync = agent.mirror.snap.as_ref().and_then(|snap| snap.sync().cloned());
        let state = Some(sync.clone().unwrap_or_default());
        let sync_revision = self.mirrored(node, store::SYNC);
        let initialize = self.mirrored(node, store::INITIALIZE);
        self.begin_lease(node, Kind::Acquire { record, sync_revision, initialize, sync, state });
    }

    /// A write of a leader: compares the acquisition number of its leader key.
    pub fn leader_write(&mut self, node: usize, effect: usize, then: Vec<Op>, mut compares: Vec<(Key, u64)>) {
        let Some(mine) = &self.nodes[node].agent.keeper.mine else { return self.end_later(node, effect, false) };
        if !self.options.without(Mutant::LeaderWriteUnfenced) {
            compares.push((store::LEADER, mine.acquisition));
        }
        let timeout = (1500 * MS).min(self.ttl(node) / 2);
        self.call(node, Purpose::Leader { effect }, Txn { compares, then }, timeout);
    }

    /// What a node says of itself: over the revision it has seen.
    fn put_over(&mut self, node: usize, effect: usize, over: (Key, u64), value: Value) {
        let txn = Txn { compares: vec![over], then: vec![Op::Put(over.0, value)] };
        let timeout = (1500 * MS).min(self.ttl(node) / 2);
        self.call(node, Purpose::Leader { effect }, txn, timeout);
    }

    fn claim(&mut self, node: usize, effect: usize, claim: TimelineClaim) {
        let revision = self.mirrored(node, store::TIMELINES);
        let present = self.nodes[node].agent.mirror.snap.as_ref().and_then(|snap| match &*snap.get(store::TIMELINES)?.value {
            Value::Timelines(claims) => Some(claims.clone()),
            _ => None,
        });
        let mut claims = present.unwrap_or_default();
        let claim = if self.options.no_parents { TimelineClaim { parent: None, ..claim } } else { claim };
        if claims.contains(&claim) {
            return self.end_later(node, effect, true);
        }
        claims.retain(|known| known.timeline != claim.timeline);
        claims.push(claim);
        claims.sort_by_key(|known| known.timeline);
        self.leader_write(
            node,
            effect,
            vec![Op::Put(store::TIMELINES, Value::Timelines(claims))],
            vec![(store::TIMELINES, revision)],
        );
    }

    /// Puts a member key on the node's expiry.
    pub fn put_member(&mut self, node: usize, member: Member, purpose: Purpose) {
        let txn = Txn { compares: Vec::new(), then: vec![Op::PutOn(node, store::MEMBER0 + node, Value::Member(member))] };
        self.call(node, purpose, txn, self.ttl(node) / 5);
    }

    fn member(&self, node: usize, face: &MemberFace) -> Member {
        Member {
            name: self.names[node].clone(),
            postgres: Some(Endpoint { host: "h".into(), port: 5432 + node as u16 }),
            api_url: Some(String::from("u")),
            state: face.state,
            role: face.role,
            timeline: face.timeline,
            lsn: face.lsn,
            checkpointed: face.checkpointed,
            tags: self.options.tags(node),
            tanist: true,
            storage: face.storage,
            follows: face.follows,
        }
    }

    fn ask_peers(&mut self, node: usize) {
        let asked = self.reading(node).boot;
        let members: Vec<usize> =
            self.nodes[node].agent.seen.store.members.iter().filter_map(|member| self.find(&member.name)).collect();
        let mut longest = 0;
        for other in members.into_iter().filter(|other| *other != node) {
            let name = self.names[other].clone();
            let question = Peer { name: name.clone(), asked, answer: None };
            match self.nodes[node].agent.seen.peers.iter_mut().find(|peer| peer.name == name) {
                Some(peer) => *peer = question,
                None => self.nodes[node].agent.seen.peers.push(question),
            }
            let took = self.rng.range(MS, 60 * MS);
            longest = longest.max(took);
            if self.net.linked(node, other) && self.nodes[other].runs(Process::Agent) {
                let mut answer = self.answer_of(other);
                if let Some(position) = &mut answer.position {
                    position.opened_by = super::probe::opener(&self.nodes[node].agent.seen.store.timelines, position);
                }
                self.later(node, took, Local::Peer(Box::new(Peer { name, asked, answer: Some(answer) })));
            } else {
                longest = longest.max(500 * MS);
            }
        }
        self.later(node, longest + MS, Local::EffectEnded { effect: PEERS, done: true });
    }

    /// Asks the guard for a permission until the end of the held lease.
    pub fn arm(&mut self, node: usize, epoch: Epoch) {
        let agent = &self.nodes[node].agent;
        let Some(until) = agent.keeper.until() else { return };
        let ttl = agent.keeper.ttl;
        self.command(node, Command::Arm(Permit { epoch, until, ttl }));
    }

    /// The write probe, in a session of its own.
    pub fn probe_writes(&mut self, node: usize, epoch: Epoch) {
        let at = self.reading(node).boot;
        let takes = self.takes_writes(node);
        let here = &mut self.nodes[node];
        let writable = takes && here.pg.server == Server::Primary && here.stopped[Process::Postgres as usize] == 0;
        if writable {
            here.pg.wal.write(40);
            self.checks.proved.push((epoch, node));
            here.pg.proof = Some(WriteProof { epoch, timeline: Timeline(here.pg.wal.timeline()), at });
            self.wal_grew(node);
            self.kick(node);
        }
        self.end_effect(node, PROVE, writable);
        self.turn(node);
    }

    /// Ends walsenders. Whoever is at their other end notices, at once where the network tells him.
    fn end_connections(&mut self, node: usize, connections: &[Connection]) {
        if self.nodes[node].stopped[Process::Postgres as usize] > 0 {
            return self.end_later(node, CONNECTIONS, false);
        }
        let senders = std::mem::take(&mut self.nodes[node].pg.walsenders);
        let (stale, kept) = senders.into_iter().partition(|sender: &Walsender| connections.contains(&sender.seen_as()));
        self.nodes[node].pg.walsenders = kept;
        for sender in stale {
            let told = self.net.linked(node, sender.node);
            let noticed = if told { self.rng.range(MS, 20 * MS) } else { self.rng.range(SEC, 6 * SEC) };
            self.later(sender.node, noticed, Local::Inside(Inside::Lost { connection: sender.connection }));
        }
        self.release_commits(node);
        self.kick(node);
        self.end_later(node, CONNECTIONS, true);
    }

    fn set_names(&mut self, node: usize, names: tanist_engine::SyncNames) {
        let pg = &mut self.nodes[node].pg;
        if !matches!(pg.server, Server::Primary) {
            return self.end_later(node, NAMES, false);
        }
        if pg.names != names || pg.names_next.is_some() {
            pg.names_file = names.clone();
            pg.names_next = Some(names);
            let slow = self.nodes[node].slow[5] > 0;
            let after = if slow { self.rng.range(SEC, 9 * SEC) } else { self.rng.range(2 * MS, 400 * MS) };
            self.later(node, after, Local::Inside(Inside::NamesInForce));
            self.release_commits(node);
            self.kick(node);
            return self.later(node, after + MS, Local::EffectEnded { effect: NAMES, done: true });
        }
        self.end_later(node, NAMES, true);
    }

    /// `/sync` as a node would write it, for checks.
    pub fn sync_names(&self, sync: &SyncState, node: usize) -> bool {
        sync.names(&self.names[node])
    }
}
