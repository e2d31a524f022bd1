//! Another node holds the lease: follow it.
//!
//! A standby is pointed at a leader only when the cluster's face proves it writable under the epoch of the present lease, and when it is
//! known that its own WAL does not go beyond the leader's history. Its data are replaced only when its history is shown not to be part of
//! the leader's, or has kept it from streaming for long.

use super::{
    ask,
    history::{Ancestry, ancestry},
    promise, replaced, restart, returning,
    turn::Turn,
};
use crate::{Action, CloneWhy, Epoch, Face, Job, Position, Postgres, Reason, ServerRole, StartAs, StopMode, Theirs, Upstream};

/// What a node does under somebody else's lease.
pub(super) fn follow(turn: &mut Turn<'_>, theirs: &Theirs) -> Reason {
    if theirs.twin || theirs.holder == turn.seen.me {
        return Reason::Twin { epoch: theirs.epoch };
    }
    turn.wake(theirs.vacant_at);
    let seen = turn.seen;
    match &seen.postgres {
        Postgres::NoData => returning::clone(turn, theirs, CloneWhy::NoData),
        Postgres::HalfMade => returning::clone(turn, theirs, CloneWhy::HalfMade),
        Postgres::Stopped(stopped) => returning::come_back(turn, theirs, stopped),
        Postgres::Starting { .. } => starting(turn, theirs),
        Postgres::Running(running) => match &running.role {
            ServerRole::Standby { position, replayed: _, upstream, streaming, slot_differs } => {
                ask_ahead(turn, theirs);
                standby(
                    turn,
                    theirs,
                    Standby {
                        position: *position,
                        upstream: upstream.as_ref(),
                        streaming: *streaming,
                        slot_differs: *slot_differs,
                    },
                )
            }
            // `fence::guarded` and `fence::settled` have dealt with it.
            ServerRole::Primary { .. } => Reason::FenceRunning,
        },
        Postgres::Unknown | Postgres::Unresponsive { .. } => Reason::ProbePending,
    }
}

/// One that waits for WAL of a leader before this one will get none.
fn starting(turn: &mut Turn<'_>, theirs: &Theirs) -> Reason {
    let to = turn.seen.last_job.as_ref().and_then(|last| match &last.job {
        Job::Start(StartAs::Standby(Some(to))) => Some(to),
        _ => None,
    });
    // The same server on the same timeline goes on sending what it sent, whatever the epoch is now.
    let opened = |since: Epoch| turn.seen.store.timelines.iter().any(|claim| claim.epoch > since);
    let other = |to: &Upstream, leader: &Upstream| {
        let same = (&to.name, &to.endpoint) == (&leader.name, &leader.endpoint) && !opened(to.epoch);
        to.epoch < leader.epoch && !same
    };
    match proved(turn, theirs) {
        Some((_, leader)) if to.is_some_and(|to| other(to, &leader)) => {
            let reason = Reason::Repointing { leader: leader.name, epoch: leader.epoch };
            turn.run(Job::Stop(StopMode::Fast), reason)
        }
        _ => Reason::PostgresStarting,
    }
}

/// What following needs of `ServerRole::Standby`.
struct Standby<'a> {
    position: Option<Position>,
    upstream: Option<&'a Upstream>,
    streaming: bool,
    slot_differs: bool,
}

/// The leader's lease is running out: ask the others now, so that a race starts with answers in hand.
fn ask_ahead(turn: &mut Turn<'_>, theirs: &Theirs) {
    let early = theirs.vacant_at.minus(turn.policy.ttl / 4);
    if turn.policy.tags.may_lead() && turn.reached(early) {
        ask::ask(turn, early);
    }
}

/// The leader of the present lease, if it is proved.
pub(super) fn proved<'a>(turn: &Turn<'a>, theirs: &Theirs) -> Option<(&'a Face, Upstream)> {
    let face = turn.seen.store.primary.as_ref()?;
    // Whatever the store says now: no leader of a lower epoch than was promised, nor another one of the same.
    let forbidden = turn.seen.promised.as_ref().is_some_and(|promised| promised.forbids(&theirs.holder, theirs.epoch));
    let proved = face.epoch == theirs.epoch && face.name == theirs.holder && !forbidden;
    proved.then(|| (face, Upstream { name: face.name.clone(), endpoint: face.endpoint.clone(), epoch: face.epoch }))
}

/// A running standby: the right upstream, and streaming from it.
fn standby(turn: &mut Turn<'_>, theirs: &Theirs, here: Standby<'_>) -> Reason {
    if let Some(reason) = promise::give(turn, theirs, here.upstream, here.position) {
        return reason;
    }
    let Some((face, leader)) = proved(turn, theirs) else {
        return Reason::LeaderNotProved { leader: theirs.holder.clone(), epoch: theirs.epoch };
    };
    let history = here.position.map_or(Ancestry::Uncertain, |own| ancestry(own, face.timeline, &turn.seen.store.timelines));
    if history == Ancestry::Diverged {
        return replace_running(turn, theirs, CloneWhy::Diverged);
    }
    if here.upstream != Some(&leader) {
        if here.position.is_none() {
            return Reason::WaitOwnEnd { leader: leader.name };
        }
        if promise::read_before_cut(turn, theirs.epoch) {
            promise::look_again(turn);
            return Reason::WaitOwnEnd { leader: leader.name };
        }
        let reason = Reason::Repointing { leader: leader.name.clone(), epoch: leader.epoch };
        return turn.run(Job::Follow(leader), reason);
    }
    if let Some(reason) = restart::stop(turn) {
        return reason;
    }
    // Also while it does not stream: the cause may be a slot that the leader does not have.
    if here.slot_differs && here.position.is_some() {
        let reason = Reason::ChangingSlot { leader: leader.name.clone() };
        return turn.run(Job::Follow(leader), reason);
    }
    if here.streaming {
        (turn.memory.not_streaming, turn.memory.started_anew) = (None, None);
        return Reason::Following { leader: leader.name };
    }
    let since = match turn.memory.not_streaming {
        Some((epoch, since)) if epoch == theirs.epoch => since,
        _ => turn.now,
    };
    turn.memory.not_streaming = Some((theirs.epoch, since));
    let long = turn.reached(since + turn.policy.ttl * 2);
    // Once per leader: when the fresh copy does not stream either, the cause is elsewhere.
    if long && history == Ancestry::Uncertain && turn.memory.replaced_for != Some(theirs.epoch) {
        return replace_running(turn, theirs, CloneWhy::NeverStreams);
    }
    let gone = turn.seen.wal_gone.as_ref() == Some(&leader);
    if long && gone && turn.memory.replaced_for != Some(theirs.epoch) {
        return replace_running(turn, theirs, CloneWhy::WalGone);
    }
    let reason = Reason::WaitStreaming { leader: leader.name };
    // Its history is the leader's and it still does not stream: started anew it reads settings and timelines again. Its data stay, for
    // the cause may be nothing but a link that is down; so once only, for it serves those who read.
    if long && history != Ancestry::Uncertain && turn.memory.started_anew != Some(theirs.epoch) {
        let reason = turn.run(Job::Stop(StopMode::Fast), reason);
        if turn.asked(|action| matches!(action, Action::Run(_))) {
            turn.memory.started_anew = Some(theirs.epoch);
        }
        return reason;
    }
    reason
}

/// Stops the standby so that its data can be replaced.
fn replace_running(turn: &mut Turn<'_>, theirs: &Theirs, why: CloneWhy) -> Reason {
    // What pg_rewind says of them is known only after the stop.
    if !(turn.policy.diverged.rewind && why == CloneWhy::Diverged)
        && let Some(reason) = returning::keep(turn, theirs, &why)
    {
        return reason;
    }
    if let Some(reason) = replaced::announce(turn, &theirs.holder) {
        return reason;
    }
    turn.memory.must_replace = Some((theirs.epoch, why.clone()));
    let reason = Reason::StoppingToReplace { from: theirs.holder.clone(), why };
    let reason = turn.run(Job::Stop(StopMode::Fast), reason);
    if turn.asked(|action| matches!(action, Action::Run(_))) {
        // The store is looked at once more before the data go: the stop may take long.
        turn.memory.data_raised = None;
    }
    reason
}
