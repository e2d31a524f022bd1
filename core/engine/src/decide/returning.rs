//! A node without a running server comes (back) under somebody else's lease: start as a standby, or have its data replaced.
//!
//! A server whose end of WAL is not known from its files is started with nobody to follow first: it replays what it has, and `following`
//! compares where that ends. Pointed at a leader at once, one that has WAL beyond the leader's history would report that as flushed
//! before PostgreSQL notices, and the leader would count it (SAFETY §4.3).

use super::{
    fence::fence,
    following::proved,
    history::{Ancestry, ancestry},
    replaced, storage,
    turn::Turn,
};
use crate::{Action, CloneWhy, Epoch, Face, FenceCause, Job, JobOutcome, Moment, Reason, StartAs, Stopped, Theirs, Upstream};

/// Data without a server, while `theirs` leads.
pub(super) fn come_back(turn: &mut Turn<'_>, theirs: &Theirs, stopped: &Stopped) -> Reason {
    if !stopped.clean && !turn.fence_complete() {
        return fence(turn, FenceCause::Leftovers);
    }
    if let Some((_, why)) = turn.memory.must_replace.clone().filter(|(epoch, _)| *epoch == theirs.epoch) {
        return replace(turn, theirs, stopped, why);
    }
    let leader = proved(turn, theirs);
    let Some((face, upstream)) = leader else {
        if stopped.is_incomplete() || stopped.was_primary && !counted(turn) {
            return Reason::LeaderNotProved { leader: theirs.holder.clone(), epoch: theirs.epoch };
        }
        return start_standby(turn, stopped, None);
    };
    if !stopped.end_known {
        return replay_own(turn, theirs, stopped);
    }
    match ancestry(stopped.position, face.timeline, &turn.seen.store.timelines) {
        Ancestry::Diverged => replace(turn, theirs, stopped, CloneWhy::Diverged),
        // Where nobody can feed it, it neither answers nor ends.
        Ancestry::Uncertain if stopped.is_incomplete() => replace(turn, theirs, stopped, CloneWhy::Unplaced),
        Ancestry::Uncertain | Ancestry::Prefix => start_standby(turn, stopped, Some(upstream)),
    }
}

/// So often an old primary is started in vain before its data are given up.
const STARTS: u32 = 3;

/// Starts a server that shows where its WAL ends. One that crashed as a primary may be beyond that; any other that does not start has a
/// cause that a copy would not mend.
fn replay_own(turn: &mut Turn<'_>, theirs: &Theirs, stopped: &Stopped) -> Reason {
    let tried = turn.memory.started_alone.filter(|(epoch, _)| *epoch == theirs.epoch).map(|(_, times)| times);
    if tried.is_some_and(|times| times >= STARTS) {
        match keep(turn, theirs, &CloneWhy::NeverStarts) {
            None => return clone(turn, theirs, CloneWhy::NeverStarts),
            // What keeps it from starting may be mended.
            Some(reason) if !rested(turn) => return reason,
            Some(_) => {}
        }
    }
    let crashed = stopped.was_primary && !stopped.clean;
    // What could not even be started has not ended.
    let failed =
        turn.seen.last_job.as_ref().is_some_and(|last| {
            matches!((&last.job, &last.outcome), (Job::Start(StartAs::Standby(None)), JobOutcome::Failed(_)))
        });
    let reason = start_standby(turn, stopped, None);
    if (crashed || tried.is_some()) && turn.asked(|action| matches!(action, Action::Run(_))) {
        let times = tried.map_or(1, |times| times + u32::from(!failed));
        turn.memory.started_alone = Some((theirs.epoch, times.min(STARTS)));
    }
    reason
}

/// The last attempt was a while ago.
fn rested(turn: &mut Turn<'_>) -> bool {
    let last = turn.seen.last_job.as_ref().map_or(Moment::ZERO, |last| last.at);
    turn.reached(last + turn.policy.loop_wait)
}

/// The candidate may be waiting for the promise of the old leader, whose position counts like no other: it is given by a standby.
fn counted(turn: &Turn<'_>) -> bool {
    let sync = turn.seen.store.sync.as_ref();
    turn.seen.promised.is_some() && sync.is_some_and(|sync| sync.quorum > 0 && sync.names(&turn.seen.me))
}

/// Starts PostgreSQL in recovery, after nothing of an earlier server can be left.
pub(super) fn start_standby(turn: &mut Turn<'_>, stopped: &Stopped, upstream: Option<Upstream>) -> Reason {
    if !stopped.clean && !turn.fence_complete() {
        return fence(turn, FenceCause::Leftovers);
    }
    let reason = turn.run(Job::Start(StartAs::Standby(upstream)), Reason::StartingStandby);
    if turn.held().is_none() && turn.asked(|action| matches!(action, Action::Run(_))) {
        // What is left of a permission ends with the lease it was for, and would end this server with it.
        turn.act_first(Action::Disarm);
    }
    reason
}

/// The data are not, or cannot be shown to be, part of the leader's history: rewound where that is possible, copied anew, or kept.
fn replace(turn: &mut Turn<'_>, theirs: &Theirs, stopped: &Stopped, why: CloneWhy) -> Reason {
    let Some((face, from)) = proved(turn, theirs) else {
        return Reason::LeaderNotProved { leader: theirs.holder.clone(), epoch: theirs.epoch };
    };
    let rewinds = turn.policy.diverged.rewind
        && stopped.clean
        && stopped.rewindable
        && why == CloneWhy::Diverged
        && failed_rewind(turn, theirs.epoch).is_none();
    if !rewinds {
        return keep(turn, theirs, &why).unwrap_or_else(|| clone(turn, theirs, why));
    }
    // Before that pg_rewind takes the two for equal, and leaves all as it is.
    if !checkpointed(turn, face) {
        return Reason::WaitCheckpoint { from: from.name };
    }
    let reason = Reason::Rewinding { from: from.name.clone() };
    announced(turn, theirs, Job::Rewind { from }, reason)
}

/// The operator wants to see such data before they are replaced.
pub(super) fn keep(turn: &Turn<'_>, theirs: &Theirs, why: &CloneWhy) -> Option<Reason> {
    // Nothing is lost with data of which the leader has all.
    if *why == CloneWhy::WalGone {
        return None;
    }
    let failed = failed_rewind(turn, theirs.epoch);
    let policy = turn.policy.diverged;
    let copies = if failed.is_some() { policy.copy_after_failure } else { policy.copy };
    let failure = failed.map_or_else(|| why.to_string(), |error| format!("{why}; pg_rewind failed: {error}"));
    (!copies).then(|| Reason::KeepingDiverged { from: theirs.holder.clone(), failure })
}

/// pg_rewind has refused these data under the present leader, and what it said.
fn failed_rewind(turn: &Turn<'_>, epoch: Epoch) -> Option<String> {
    turn.memory.rewind_failed.clone().filter(|(under, _)| *under == epoch).map(|(_, error)| error)
}

/// The leader says that its control file is of its own timeline.
fn checkpointed(turn: &Turn<'_>, face: &Face) -> bool {
    let leader = turn.seen.store.members.iter().find(|member| member.name == face.name);
    leader.is_some_and(|leader| leader.checkpointed && leader.timeline == Some(face.timeline))
}

/// Copies the leader, when it is proved.
pub(super) fn clone(turn: &mut Turn<'_>, theirs: &Theirs, why: CloneWhy) -> Reason {
    let Some((_, from)) = proved(turn, theirs) else {
        return Reason::LeaderNotProved { leader: theirs.holder.clone(), epoch: theirs.epoch };
    };
    let reason = Reason::Cloning { from: from.name.clone(), why };
    announced(turn, theirs, Job::Clone { from }, reason)
}

/// Begins to replace the data directory, once nobody counts on it any more.
fn announced(turn: &mut Turn<'_>, theirs: &Theirs, job: Job, reason: Reason) -> Reason {
    // Nothing is noted as begun that cannot begin.
    if let Some(reason) = storage::out_of_race(turn) {
        return reason;
    }
    if let Some(reason) = replaced::announce(turn, &theirs.holder) {
        return reason;
    }
    turn.memory.replaced_for = Some(theirs.epoch);
    turn.memory.started_alone = None;
    let reason = turn.run(job, reason);
    if turn.asked(|action| matches!(action, Action::Run(_))) {
        // The next replacement is announced anew.
        turn.memory.data_raised = None;
    }
    reason
}
