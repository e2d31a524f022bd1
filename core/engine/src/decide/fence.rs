//! The first question of every decision: may PostgreSQL here be writable without permission?
//!
//! The guard fences by itself at the end of what it was armed for; this is the second line, for everything that is known earlier: the
//! lease is seen with somebody else, or a writable server is found for which nobody armed the guard.

use super::{storage, turn::Turn};
use crate::{Action, Epoch, FenceCause, FenceState, Lease, Moment, Postgres, Reason};
use std::time::Duration;

/// Fences a writable PostgreSQL that has no permission.
pub(super) fn guarded(turn: &mut Turn<'_>) -> Option<Reason> {
    match turn.seen.guard.fence {
        FenceState::Running => {
            turn.wake(turn.now + Duration::from_millis(50));
            return Some(Reason::FenceRunning);
        }
        FenceState::Complete => return None,
        FenceState::Open => {}
    }
    if !turn.may_write() {
        return None;
    }
    forbidden(turn).map(|cause| fence(turn, cause))
}

/// A permission is left of a lease that is not held any more, and nothing here could write: without it the guard does not fence, at its
/// end, the standby that runs by then.
pub(super) fn lay_down(turn: &mut Turn<'_>) {
    let over = matches!(turn.seen.lease, Lease::Vacant { .. } | Lease::Theirs(_));
    let known = !matches!(turn.seen.postgres, Postgres::Unknown) && turn.seen.guard.fence != FenceState::Running;
    let left = turn.armed().is_some() && !turn.asked(|action| matches!(action, Action::Disarm));
    if !(over && known && left) || turn.may_write() {
        return;
    }
    // Asked again while the guard does not answer, and not at every turn.
    if turn.memory.disarm_asked.is_none_or(|at| turn.reached(at + Duration::from_millis(100))) {
        turn.memory.disarm_asked = Some(turn.now);
        turn.act_first(Action::Disarm);
    }
}

/// Why the writable PostgreSQL here must not be.
fn forbidden(turn: &Turn<'_>) -> Option<FenceCause> {
    // The guard starts nothing writable unarmed: a server that was a standby and has gone silent is a hung standby.
    let hung_standby = matches!(turn.seen.postgres, Postgres::Unresponsive { .. }) && turn.memory.was_standby;
    if hung_standby && turn.armed().is_none() && !turn.seen.is_opening() {
        return None;
    }
    match &turn.seen.lease {
        Lease::Mine(held) => (turn.now >= held.until).then_some(FenceCause::LeaseOver),
        Lease::Theirs(theirs) => Some(FenceCause::LeaseTheirs { holder: theirs.holder.clone() }),
        Lease::Unknown => turn.armed().is_none().then_some(FenceCause::NotArmed),
        // Where there was never a cluster nobody can be leading: a server that runs already is taken over as it is.
        Lease::Vacant { last_epoch: Epoch::NONE, .. } if turn.seen.store.initialize.is_none() => None,
        Lease::Vacant { .. } => Some(FenceCause::LeaseVacant),
    }
}

/// Asks for a fence.
pub(super) fn fence(turn: &mut Turn<'_>, cause: FenceCause) -> Reason {
    turn.step(Action::Fence, Reason::Fencing { cause })
}

/// After a fence a probe that still shows a writable server is behind.
pub(super) fn settled(turn: &mut Turn<'_>) -> Option<Reason> {
    // A process that hangs in a write is still there. A service that is to end does not wait for it.
    let hangs = turn.seen.stopping && storage::is_broken(turn);
    if !(turn.fence_complete() && turn.may_write()) || hangs {
        return None;
    }
    turn.wake(turn.now + Duration::from_millis(100));
    Some(Reason::WaitForProbe { job: "fence".to_owned() })
}

/// No server runs, and what is in the data directory cannot be found out: a control file that is damaged or may not be read, a
/// program that is not there. The holder of the lease waits for half a ttl, then somebody else shall lead.
pub(super) fn blind(turn: &mut Turn<'_>) -> Option<Reason> {
    let held = turn.held().filter(|_| is_blind(turn))?;
    turn.give_up(held);
    Some(fence(turn, FenceCause::Blind))
}

/// What is here has not been known for half a ttl.
pub(super) fn is_blind(turn: &mut Turn<'_>) -> bool {
    let patience = turn.policy.ttl / 2;
    turn.seen.unreadable.is_some_and(|since| turn.reached(since + patience))
}

/// The postmaster lives and serves nobody. Half a ttl decides; then whoever is better off shall have the lease.
pub(super) fn unresponsive(turn: &mut Turn<'_>, since: Moment) -> Reason {
    let until = since + turn.policy.ttl / 2;
    if !turn.reached(until) {
        return Reason::Unresponsive { since, until };
    }
    if let Some(held) = turn.held() {
        turn.give_up(held);
    }
    // It did not end by itself.
    turn.memory.started_alone = turn.memory.started_alone.map(|(epoch, times)| (epoch, times.saturating_sub(1)));
    fence(turn, FenceCause::Unresponsive)
}
