//! Renewal of the held lease: every ttl/5, one attempt at a time, beside whatever else happens (SAFETY §3).

use super::turn::Turn;
use crate::{Action, FenceState, Held, Moment};
use std::time::Duration;

/// So long an answer of the store is waited for.
pub(super) const ANSWER: Duration = Duration::from_secs(1);

/// Asks for a renewal when one is due, and wakes for the next.
pub(super) fn renew(turn: &mut Turn<'_>) {
    let Some(held) = turn.held() else { return };
    turn.wake(held.until);
    let due = turn.reached(held.attempted + every(turn, held));
    // A lease that is over is never revived: the page of the guard counted it down in the same way. While a fence runs nothing may
    // extend what is being ended. Whoever releases or leaves does not renew.
    let over =
        turn.now >= held.until || turn.seen.guard.fence == FenceState::Running || turn.memory.giving_up == Some(held.epoch);
    let leaving = turn.asked(|action| matches!(action, Action::Release { .. } | Action::Exit | Action::Fence));
    if due && !held.in_flight && !over && !leaving {
        turn.act(Action::Renew);
    }
}

/// How often this lease is renewed. A ttl that was made longer holds from the next renewal on: until then the lease is as short as it was.
pub(super) fn every(turn: &Turn<'_>, held: &Held) -> Duration {
    let present = held.until.since(held.renewed) * 100 / 99;
    turn.policy.renew_every().min(present / 5)
}

/// When this lease has to be renewed next. An agent that has adopted it has sent no renewal before its first.
pub(super) fn due(turn: &Turn<'_>, held: &Held) -> Moment {
    let renewed = if held.renewed == Moment::ZERO { held.attempted } else { held.renewed };
    renewed + every(turn, held)
}

/// A renewal is overdue. What ends in a release is not begun: it could not land.
pub(super) fn is_overdue(turn: &mut Turn<'_>) -> bool {
    let Some(held) = turn.held() else { return false };
    let overdue = turn.now >= due(turn, held) + every(turn, held).min(ANSWER);
    if overdue {
        turn.wake(turn.now + ANSWER);
    }
    overdue
}
