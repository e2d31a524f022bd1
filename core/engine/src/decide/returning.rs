//! A node without a running server comes (back) under somebody else's lease: start as a standby, or copy the leader.

use super::{
    fence::fence,
    following::proved,
    history::{Ancestry, ancestry},
    replaced, storage,
    turn::Turn,
};
use crate::{Action, CloneWhy, FenceCause, Job, Reason, StartAs, Stopped, Theirs, Upstream};

/// Data without a server, while `theirs` leads.
pub(super) fn come_back(turn: &mut Turn<'_>, theirs: &Theirs, stopped: &Stopped) -> Reason {
    if !stopped.clean && !turn.fence_complete() {
        return fence(turn, FenceCause::Leftovers);
    }
    if let Some((_, why)) = turn.memory.must_clone.clone().filter(|(epoch, _)| *epoch == theirs.epoch) {
        return clone(turn, theirs, why);
    }
    let leader = proved(turn, theirs);
    let Some((face, upstream)) = leader else {
        if stopped.was_primary && !counted(turn) {
            return Reason::LeaderNotProved { leader: theirs.holder.clone(), epoch: theirs.epoch };
        }
        return start_standby(turn, stopped, None);
    };
    // The end of an unclean primary's WAL is not in its control file, so nothing shows that it is part of the leader's history.
    if stopped.was_primary && !stopped.clean {
        return clone(turn, theirs, CloneWhy::UncleanPrimary);
    }
    if ancestry(stopped.position, face.timeline, &turn.seen.store.timelines) == Ancestry::Diverged {
        return clone(turn, theirs, CloneWhy::Diverged);
    }
    start_standby(turn, stopped, Some(upstream))
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
    turn.run(Job::Start(StartAs::Standby(upstream)), Reason::StartingStandby)
}

/// Copies the leader, when it is proved.
pub(super) fn clone(turn: &mut Turn<'_>, theirs: &Theirs, why: CloneWhy) -> Reason {
    let Some((_, from)) = proved(turn, theirs) else {
        return Reason::LeaderNotProved { leader: theirs.holder.clone(), epoch: theirs.epoch };
    };
    // Nothing is noted as begun that cannot begin.
    if let Some(reason) = storage::out_of_race(turn) {
        return reason;
    }
    if let Some(reason) = replaced::announce(turn, &theirs.holder) {
        return reason;
    }
    turn.memory.cloned_for = Some(theirs.epoch);
    turn.memory.must_clone = None;
    let reason = Reason::Cloning { from: from.name.clone(), why };
    let reason = turn.run(Job::Clone { from }, reason);
    if turn.asked(|action| matches!(action, Action::Run(Job::Clone { .. }))) {
        // The next replacement is announced anew.
        turn.memory.data_raised = None;
    }
    reason
}
