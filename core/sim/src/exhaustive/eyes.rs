//! The engine's inputs for a node of a state, and its memory back.
//!
//! Now is always the same moment; what is old lies whole ticks before it. A tick is a quarter of a ttl.

use super::{
    scope::Scope,
    state::{Claim, DEADLINE, Keys, Mind, Names, Node, OLD, OVER, Server, State, Sync, Work, opened},
};
use crate::mutant::Mutant;
use std::time::Duration;
use tanist_engine::{
    Armed, CloneWhy, Connection, Diverged, Endpoint, Epoch, Face, Failsafe, FenceState, Guard, Handoff, Held, Job, JobOutcome,
    JobReport, Lease, Lsn, Member, MemberName, MemberState, Memory, Moment, Observation, Peer, PeerAnswer, Policy, Position,
    Postgres, Revision, Role, Running, RunningJob, ServerRole, StandbySeen, StartAs, StopMode, Stopped, Storage, StorageSeen,
    StoreView, SyncMode, SyncNames, SyncState, SyncTarget, Tags, Theirs, Timeline, TimelineClaim, Upstream, WriteProof,
};

/// Now.
pub const NOW: Moment = Moment::from_nanos(1_000_000_000_000_000);
const TICK: Duration = Duration::from_millis(2_500);

fn ticks(count: u8) -> Duration {
    TICK * u32::from(count)
}

/// The rules.
pub fn policy(synchronous: bool) -> Policy {
    Policy {
        ttl: ticks(4),
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(1),
        maximum_lag_on_failover: 1 << 20,
        synchronous: if synchronous { SyncMode::On { strict: false, node_count: 1 } } else { SyncMode::Off },
        primary_start_timeout: None,
        primary_stop_timeout: Duration::ZERO,
        diverged: Diverged::default(),
        failsafe: false,
        tags: Tags::default(),
    }
}

/// The name of a node.
pub fn name(node: u8) -> MemberName {
    MemberName(["n1", "n2", "n3"].get(usize::from(node)).copied().unwrap_or_default().into())
}

/// The node of a name.
pub fn node_of(wanted: &MemberName) -> u8 {
    (0..3).find(|node| name(*node) == *wanted).unwrap_or(u8::MAX)
}

fn epoch(number: u8) -> Epoch {
    Epoch(u64::from(number))
}

fn lsn(entries: usize) -> Lsn {
    Lsn(entries as u64 * 100)
}

fn endpoint(node: u8) -> Endpoint {
    Endpoint { host: "h".to_owned(), port: u16::from(node) }
}

fn upstream((node, number): (u8, u8)) -> Upstream {
    Upstream { name: name(node), endpoint: endpoint(node), epoch: epoch(number) }
}

/// Names as the engine has them.
pub fn names(names: Names) -> SyncNames {
    match names {
        Names::Nobody => SyncNames::Nobody,
        Names::Reserved => SyncNames::Reserved,
        Names::First(node) => SyncNames::one(name(node)),
    }
}

/// And back.
pub fn names_of(names: &SyncNames) -> Names {
    match names {
        SyncNames::Nobody => Names::Nobody,
        SyncNames::Reserved => Names::Reserved,
        SyncNames::FirstOf { standbys, .. } | SyncNames::AnyOf { standbys, .. } => {
            standbys.first().map_or(Names::Reserved, |first| Names::First(node_of(first)))
        }
    }
}

fn sync_state(sync: &Sync) -> SyncState {
    SyncState {
        revision: Revision(u64::from(sync.version)),
        leader: sync.leader.map(name),
        standbys: sync.standby.into_iter().map(name).collect(),
        quorum: 0,
    }
}

fn claims(node: &Node, keys: &Keys, scope: &Scope) -> Vec<TimelineClaim> {
    let claim = |claim: &Claim| TimelineClaim {
        timeline: Timeline(u32::from(claim.timeline)),
        epoch: epoch(claim.epoch),
        begin: None,
        parent: None,
    };
    let last = keys.claims.iter().map(|claim| claim.timeline).fold(node.timeline(), u8::max);
    // As if a claim were in the store before it is written.
    let unwritten = node.own.as_ref().filter(|_| scope.lacks(Mutant::TimelineUnclaimed));
    let unwritten = unwritten.map(|own| Claim { timeline: last + 1, epoch: own.epoch });
    keys.claims.iter().chain(&unwritten).map(claim).collect()
}

fn position(node: &Node, view: Option<&Keys>) -> Position {
    let timeline = node.timeline();
    let claim =
        view.and_then(|keys| keys.claims.iter().filter(|claim| claim.timeline == timeline).map(|claim| claim.epoch).max());
    Position { opened_by: epoch(claim.unwrap_or(0)), timeline: Timeline(u32::from(timeline)), lsn: lsn(node.log.len()) }
}

fn job(work: Work) -> Job {
    match work {
        Work::Standby { upstream: to } => Job::Start(StartAs::Standby(to.map(upstream))),
        Work::Start { epoch: number } => Job::Start(StartAs::Primary { epoch: epoch(number) }),
        Work::Promote { epoch: number, timeline } => {
            Job::Promote { epoch: epoch(number), timeline: Timeline(u32::from(timeline)) }
        }
        Work::Stop => Job::Stop(StopMode::Fast),
        Work::Follow { upstream: to } => Job::Follow(upstream(to)),
        Work::Clone { from, epoch } => Job::Clone { from: upstream((from, epoch)) },
    }
}

fn short(upstream: &Upstream) -> (u8, u8) {
    (node_of(&upstream.name), upstream.epoch.0 as u8)
}

/// A job as a state has it; nothing for those that this scope never needs.
pub fn work(job: &Job) -> Option<Work> {
    Some(match job {
        Job::Start(StartAs::Standby(to)) => Work::Standby { upstream: to.as_ref().map(short) },
        Job::Start(StartAs::Primary { epoch }) => Work::Start { epoch: epoch.0 as u8 },
        Job::Promote { epoch, timeline } => Work::Promote { epoch: epoch.0 as u8, timeline: timeline.0 as u8 },
        Job::Stop(_) => Work::Stop,
        Job::Follow(to) => Work::Follow { upstream: short(to) },
        Job::Clone { from } => {
            let (from, epoch) = short(from);
            Work::Clone { from, epoch }
        }
        Job::Bootstrap | Job::Rewind { .. } | Job::Checkpoint | Job::PostBootstrap | Job::Promise { .. } => return None,
    })
}

fn lease(node: &Node, in_flight: bool) -> Lease {
    if let Some(own) = &node.own {
        let attempted = if node.tried { NOW } else { NOW.minus(TICK) };
        return Lease::Mine(Held {
            epoch: epoch(own.epoch),
            acquisition: Revision(u64::from(own.epoch)),
            until: NOW + ticks(OVER.saturating_sub(own.age)),
            renewed: NOW.minus(ticks(own.age)),
            attempted,
            in_flight,
            sync_at_acquisition: own.sync.as_ref().map(sync_state),
        });
    }
    let Some(keys) = &node.view else { return Lease::Unknown };
    let record = &keys.record;
    let since = if record.released { Some(node.seen_age) } else { node.confirmed };
    match since {
        Some(since) => Lease::Vacant {
            since: NOW.minus(ticks(since)),
            record: Revision(u64::from(record.version)),
            last_holder: Some(name(record.holder)),
            last_epoch: epoch(record.epoch),
            released: record.released,
        },
        None => Lease::Theirs(Theirs {
            holder: name(record.holder),
            epoch: epoch(record.epoch),
            vacant_at: NOW + ticks(OLD.saturating_sub(node.seen_age)),
            twin: false,
        }),
    }
}

fn store(state: &State, node: &Node, scope: &Scope) -> StoreView {
    let Some(keys) = &node.view else { return StoreView::default() };
    let member = |node| Member {
        name: name(node),
        postgres: Some(endpoint(node)),
        api_url: Some("u".to_owned()),
        state: MemberState::Running,
        role: Role::Replica,
        timeline: Some(Timeline(u32::from(state.nodes[usize::from(node)].timeline()))),
        lsn: None,
        checkpointed: true,
        tags: Tags::default(),
        tanist: true,
        storage: Storage::Good,
        follows: match state.nodes[usize::from(node)].server {
            Server::Standby { upstream: Some((_, number)) } => Some(epoch(number)),
            _ => None,
        },
    };
    let (shown, leader, timeline) = keys.face;
    StoreView {
        as_of: Some(NOW),
        initialize: Some("1".to_owned()),
        sync: Some(sync_state(&keys.sync)),
        primary: Some(Face {
            epoch: epoch(shown),
            name: name(leader),
            endpoint: endpoint(leader),
            timeline: Timeline(u32::from(timeline)),
        }),
        members: (0..scope.nodes).map(member).collect(),
        switchover: None,
        handoff: keys.handoff.map(|(to, number)| Handoff { to: name(to), epoch: epoch(number) }),
        timelines: claims(node, keys, scope),
        optime: None,
        promises: Vec::new(),
        data: Vec::new(),
        failsafe: None,
    }
}

fn role(state: &State, place: u8) -> ServerRole {
    let node = &state.nodes[usize::from(place)];
    let at = position(node, node.view.as_ref());
    let begin = node.log.iter().rposition(|entry| opened(*entry).is_some()).map(lsn);
    match node.server {
        Server::Primary => ServerRole::Primary {
            position: at,
            timeline_begin: begin,
            timeline_parent: None,
            proof: node.proof.map(|number| WriteProof { epoch: epoch(number), timeline: at.timeline, at: NOW }),
            standbys: (0..state.nodes.len() as u8)
                .filter(|other| state.streams_from(*other) == Some(place))
                .map(|other| StandbySeen {
                    name: name(other),
                    streaming: true,
                    flushed: lsn(state.nodes[usize::from(other)].log.len()),
                    sync: node.names.0 == Names::First(other),
                    connection: Connection::default(),
                })
                .collect(),
            names_in_force: node.names.1.is_none().then(|| names(node.names.0)),
            checkpointed: true,
        },
        Server::Standby { upstream: to } => ServerRole::Standby {
            position: Some(at),
            replayed: at.lsn,
            upstream: to.map(upstream),
            streaming: state.streams_from(place).is_some(),
            slot_differs: false,
        },
        Server::Opening { .. } | Server::Down { .. } => {
            ServerRole::Standby { position: Some(at), replayed: at.lsn, upstream: None, streaming: false, slot_differs: false }
        }
    }
}

fn postgres(state: &State, place: u8) -> Postgres {
    let node = &state.nodes[usize::from(place)];
    match node.server {
        Server::Down { clean, was_primary } => Postgres::Stopped(Stopped {
            clean,
            was_primary,
            position: position(node, node.view.as_ref()),
            end_known: clean && was_primary,
            rewindable: clean,
            system_id: "1".to_owned(),
        }),
        Server::Opening { timeline: None, .. } => Postgres::Starting { since: NOW, as_primary: true },
        _ => Postgres::Running(Running { role: role(state, place), system_id: "1".to_owned(), version: 150_018 }),
    }
}

fn peer(state: &State, node: &Node, other: u8) -> Peer {
    let there = &state.nodes[usize::from(other)];
    let at = position(there, node.view.as_ref());
    let (member, role, known) = match there.server {
        Server::Primary => (MemberState::Running, Role::Primary, Some(at)),
        Server::Standby { .. } | Server::Opening { timeline: Some(_), .. } => (MemberState::Running, Role::Replica, Some(at)),
        Server::Opening { timeline: None, .. } => (MemberState::Starting, Role::Primary, None),
        Server::Down { .. } => (MemberState::Stopped, Role::Replica, None),
    };
    let answer =
        PeerAnswer { state: member, role, position: known, tags: Tags::default(), storage: Storage::Good, barred: false };
    Peer { name: name(other), asked: NOW, answer: there.runs().then_some(answer) }
}

/// What a node sees.
pub fn observation(state: &State, place: u8, scope: &Scope) -> Observation {
    let node = &state.nodes[usize::from(place)];
    let others = (0..state.nodes.len() as u8).filter(|other| node.asked && *other != place);
    let outcome = |done| if done { JobOutcome::Done } else { JobOutcome::Failed("failed".to_owned()) };
    Observation {
        me: name(place),
        lease: lease(node, node.waits.0),
        store: store(state, node, scope),
        postgres: postgres(state, place),
        guard: Guard {
            armed: node.armed.map(|(number, age)| Armed { epoch: epoch(number), until: NOW + ticks(OVER.saturating_sub(age)) }),
            newest: node.armed.map_or(Epoch::NONE, |(number, _)| epoch(number)),
            fence: if node.fenced { FenceState::Complete } else { FenceState::Open },
            budget: ticks(OVER - DEADLINE),
        },
        job: node.work.map(|work| RunningJob { job: job(work), since: NOW }),
        last_job: node.worked.map(|(work, done)| JobReport { job: job(work), outcome: outcome(done), at: NOW.minus(TICK) }),
        peers: others.map(|other| peer(state, node, other)).collect(),
        storage: StorageSeen::default(),
        restart: None,
        wal_gone: None,
        unreadable: None,
        stopping: false,
        probed: NOW,
        promised: None,
        directory_replaced: false,
        directory: 0,
        failsafe: Failsafe { tidy: true, ..Failsafe::default() },
    }
}

/// The engine's memory. Pacing of what is told is forgotten, so that it is told again and again, and ignored.
pub fn memory(node: &Node) -> Memory {
    let mind = &node.mind;
    Memory {
        asked_at: node.asked.then_some(NOW),
        no_lead_until: mind.stays_out.then(|| NOW + TICK),
        giving_up: mind.giving_up.map(epoch),
        released: mind.released.map(|(number, to)| (epoch(number), to.map(name))),
        failure_at: mind.failure_seen.then(|| NOW.minus(TICK)),
        must_replace: mind.must_replace.map(|number| (epoch(number), CloneWhy::Diverged)),
        sync_target: mind.target.map(|(demanded, number, entries)| SyncTarget {
            names: names(demanded),
            epoch: epoch(number),
            lsn: lsn(entries.into()),
        }),
        sync_asked: mind.asked.map(|version| Revision(u64::from(version))),
        sync_missed: mind
            .missed
            .map(|(node, before)| (name(node), if before { NOW.minus(TICK) } else { NOW }))
            .into_iter()
            .collect(),
        sync_clear: mind.clear,
        sync_first: mind.first.map(|version| Revision(u64::from(version))),
        // Marks of data directories are not modelled: each replacement counts as announced.
        data_raised: Some((0, Revision(u64::MAX))),
        ..Memory::default()
    }
}

/// What of the engine's memory matters here.
pub fn mind(memory: &Memory) -> Mind {
    let number = |epoch: Epoch| epoch.0 as u8;
    Mind {
        stays_out: memory.no_lead_until.is_some_and(|until| until > NOW),
        giving_up: memory.giving_up.map(number),
        released: memory.released.as_ref().map(|(epoch, to)| (number(*epoch), to.as_ref().map(node_of))),
        failure_seen: memory.failure_at.is_some(),
        must_replace: memory.must_replace.as_ref().map(|(epoch, _)| number(*epoch)),
        target: memory
            .sync_target
            .as_ref()
            .map(|target| (names_of(&target.names), number(target.epoch), (target.lsn.0 / 100) as u8)),
        asked: memory.sync_asked.map(|revision| revision.0 as u8),
        missed: memory.sync_missed.first().map(|(name, since)| (node_of(name), *since < NOW)),
        clear: memory.sync_clear,
        first: memory.sync_first.filter(|_| !memory.sync_clear).map(|revision| revision.0 as u8),
    }
}
