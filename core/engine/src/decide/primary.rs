//! The lease is held and PostgreSQL is a primary: prove that it accepts writes, show it, and keep the synchronous standby right.
//!
//! The order of the first minutes: arm (a new epoch of the same holder is armed anew, nothing restarts) → `/initialize` of a new
//! cluster → its users → write probe → the cluster's face. Nobody is told of a primary that has not been seen to accept a write.

use super::{fence::fence, members, promote, renew, restart, storage, switchover, sync, turn::Turn};
use crate::{
    Action, Face, FenceCause, Held, Job, JobOutcome, Lsn, Position, Postgres, Reason, Running, ServerRole, SyncNames, Timeline,
    WriteProof,
};

/// What leading needs of `ServerRole::Primary`.
pub(super) struct Primary<'a> {
    pub role: &'a ServerRole,
    pub position: Position,
    pub names: Option<&'a SyncNames>,
    pub system_id: &'a str,
    proof: Option<WriteProof>,
    begin: Option<Lsn>,
    parent: Option<Timeline>,
    checkpointed: bool,
}

/// The running server as a primary.
fn view(running: &Running) -> Option<Primary<'_>> {
    let role = &running.role;
    match role {
        ServerRole::Primary { position, timeline_begin, timeline_parent, proof, standbys: _, names_in_force, checkpointed } => {
            Some(Primary {
                role,
                position: *position,
                names: names_in_force.as_ref(),
                system_id: &running.system_id,
                proof: *proof,
                begin: *timeline_begin,
                parent: *timeline_parent,
                checkpointed: *checkpointed,
            })
        }
        ServerRole::Standby { .. } => None,
    }
}

/// The next step of leading.
pub(super) fn lead(turn: &mut Turn<'_>, held: &Held, running: &Running) -> Reason {
    let Some(primary) = view(running) else { return Reason::ProbePending };
    if turn.refused_by_guard(held).is_some() {
        turn.give_up(held);
        return fence(turn, FenceCause::NotArmed);
    }
    if !turn.armed_for(held) {
        turn.arm(held);
        return Reason::Arming { epoch: held.epoch };
    }
    if let Some(reason) = planned(turn, running, &primary) {
        return reason;
    }
    // Until the store knows the cluster somebody else may make another one. A new cluster's names match nobody, and stay so.
    let synchronising = match turn.seen.store.initialize {
        Some(_) => sync::step(turn, held, &primary),
        None => None,
    };
    status(turn, primary.position.lsn);
    let recorded = record(turn, &primary);
    if let Some(reason) = show(turn, held, &primary, recorded) {
        return reason;
    }
    // PostgreSQL makes this checkpoint by itself, spread over minutes; until it is done nobody can be rewound from here.
    if !primary.checkpointed {
        turn.act(Action::Checkpoint);
    }
    if let Some(reason) = storage::in_trouble(turn, held) {
        return reason;
    }
    match synchronising {
        Some(step) => Reason::Synchronising { epoch: held.epoch, step },
        None => Reason::Leading { epoch: held.epoch },
    }
}

/// What an operator or the storage wants of a primary that could go on. Not while the store is silent: the lease could not be handed over
/// and would be over before a server that was stopped is back, for failsafe mode extends it only under one that runs.
fn planned(turn: &mut Turn<'_>, running: &Running, primary: &Primary<'_>) -> Option<Reason> {
    if renew::is_overdue(turn) {
        return None;
    }
    switchover::carry_out(turn, primary).or_else(|| storage::hand_over(turn, running)).or_else(|| restart::stop(turn))
}

/// What goes on while the checkpoint before a planned stop runs, which may take a minute: commits that wait for a standby that has gone,
/// and the bound on what a failover may lose.
pub(super) fn beside(turn: &mut Turn<'_>) {
    let (Some(held), Postgres::Running(running)) = (turn.held(), &turn.seen.postgres) else { return };
    let settled = turn.seen.store.initialize.is_some() && turn.memory.giving_up.is_none();
    let Some(primary) = view(running).filter(|_| settled && turn.armed_for(held)) else { return };
    sync::step(turn, held, &primary);
    status(turn, primary.position.lsn);
}

/// Makes the cluster know this primary; nothing when it does.
fn show(turn: &mut Turn<'_>, held: &Held, primary: &Primary<'_>, recorded: bool) -> Option<Reason> {
    let (epoch, timeline) = (held.epoch, primary.position.timeline);
    let known = promote::shown_epoch(turn);
    let shown = turn.seen.store.primary.as_ref();
    let mine = shown.filter(|face| face.epoch == epoch && face.name == turn.seen.me && face.timeline == timeline);
    if let Some(known) = known.filter(|known| *known > epoch || (*known == epoch && mine.is_none())) {
        return Some(Reason::EpochNotNewer { mine: epoch, known });
    }
    if turn.seen.store.initialize.is_none() {
        let system_id = primary.system_id.to_owned();
        turn.memory.initialize_asked = true;
        return Some(turn.step(Action::WriteInitialize { system_id }, Reason::WritingInitialize));
    }
    if known.is_none() && !prepared(turn) {
        return Some(turn.run(Job::PostBootstrap, Reason::PostBootstrap));
    }
    if !primary.proof.is_some_and(|proof| proof.epoch == epoch && proof.timeline == timeline) {
        return Some(turn.step(Action::Prove { epoch }, Reason::Proving { epoch }));
    }
    let Some(endpoint) = members::find(turn, &turn.seen.me).and_then(|member| member.postgres.clone()) else {
        return mine.is_none().then_some(Reason::OwnAddressUnknown);
    };
    if mine.is_some_and(|face| face.endpoint == endpoint) {
        return None;
    }
    // Who sees the face compares where its timeline begins with where own WAL ends, before following.
    if !recorded {
        return Some(Reason::Publishing { epoch });
    }
    let face = Face { epoch, name: turn.seen.me.clone(), endpoint, timeline };
    Some(turn.step(Action::PublishPrimary(face), Reason::Publishing { epoch }))
}

/// The users of a new cluster are there. Only the report of this very process counts; without it they are made again, which creates
/// only what is missing.
fn prepared(turn: &Turn<'_>) -> bool {
    turn.seen.last_job.as_ref().is_some_and(|report| report.job == Job::PostBootstrap && report.outcome == JobOutcome::Done)
}

/// Records where a timeline this node opened begins, so that others can tell whether they are ahead of the fork. Whether all that can be
/// recorded is.
fn record(turn: &mut Turn<'_>, primary: &Primary<'_>) -> bool {
    let timeline = primary.position.timeline;
    let claim = turn.seen.store.timelines.iter().find(|claim| claim.timeline == timeline && claim.begin.is_none());
    if let (Some(claim), Some(begin)) = (claim, primary.begin.filter(|begin| *begin <= primary.position.lsn)) {
        let parent = primary.parent.or(claim.parent);
        turn.act(Action::RecordTimeline { timeline, epoch: claim.epoch, begin, parent });
        return false;
    }
    true
}

/// `/status`: only when the position moved, at most once per loop_wait. It bounds what an asynchronous failover may lose.
fn status(turn: &mut Turn<'_>, optime: Lsn) {
    let due = turn.memory.status_at.is_none_or(|at| turn.now >= at + turn.policy.loop_wait);
    if due && turn.seen.store.optime != Some(optime) {
        turn.memory.status_at = Some(turn.now);
        turn.act(Action::PublishStatus { optime });
    }
}
