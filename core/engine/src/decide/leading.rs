//! This node holds the lease.

use super::{bootstrap, crashed, fence::fence, job, primary, promote, storage, turn::Turn};
use crate::{Action, FenceCause, Held, MemberName, Postgres, Reason, ServerRole};

/// By what PostgreSQL is here.
pub(super) fn hold(turn: &mut Turn<'_>, held: &Held) -> Reason {
    let seen = turn.seen;
    match &seen.postgres {
        Postgres::NoData | Postgres::HalfMade => bootstrap::create(turn),
        Postgres::Stopped(stopped) => crashed::recover(turn, held, stopped),
        Postgres::Starting { as_primary: true, .. } => job::start_too_long(turn).unwrap_or(Reason::PostgresStarting),
        Postgres::Starting { as_primary: false, .. } => Reason::PostgresStarting,
        Postgres::Running(running) => match &running.role {
            ServerRole::Standby { position, .. } => promote::promote(turn, held, *position),
            ServerRole::Primary { .. } => primary::lead(turn, held, running),
        },
        // Decided before the lease is looked at.
        Postgres::Unknown | Postgres::Unresponsive { .. } => Reason::ProbePending,
    }
}

/// The lease is over, or is given up: first nothing may write, then what is left of it is released.
///
/// A fence that the guard completed near the end of the lease is the end of the lease; a fence that it completed earlier was for a dead
/// postmaster, and `crashed` decides.
pub(super) fn lost(turn: &mut Turn<'_>) -> Option<Reason> {
    let held = turn.held()?;
    let giving_up = turn.memory.giving_up == Some(held.epoch);
    let fenced_at_end = turn.fence_complete() && turn.now + turn.seen.guard.budget >= held.until;
    if !(giving_up || turn.now >= held.until || fenced_at_end) {
        return None;
    }
    // What failed may still come up later (a promotion that timed out): only a fence ends it.
    if giving_up && may_come_up(turn) {
        if storage::is_broken(turn) {
            return Some(storage::fence(turn));
        }
        let job = turn.seen.last_job.as_ref().map_or("the last job", |report| report.job.name());
        return Some(fence(turn, FenceCause::JobFailed { job: job.to_owned() }));
    }
    if !turn.is_quiet() {
        return Some(fence(turn, FenceCause::LeaseOver));
    }
    let reason = if giving_up { Reason::GivingUp { epoch: held.epoch } } else { Reason::LeaseLost };
    Some(release(turn, None, reason))
}

/// A server is there, or was not shut down in order, and no fence has been completed since.
fn may_come_up(turn: &Turn<'_>) -> bool {
    let harmless = match &turn.seen.postgres {
        Postgres::NoData | Postgres::HalfMade => true,
        Postgres::Stopped(stopped) => stopped.clean,
        Postgres::Unknown | Postgres::Starting { .. } | Postgres::Running(_) | Postgres::Unresponsive { .. } => false,
    };
    !(turn.fenced() || harmless && turn.seen.job.is_none())
}

/// A release of this lease has been asked for, and its outcome is not known: it may yet land, so it is repeated, and nothing becomes
/// writable under this lease any more. Asked before every step that would.
pub(super) fn released(turn: &mut Turn<'_>, held: &Held) -> Option<Reason> {
    let (_, handoff) = turn.memory.released.clone().filter(|(epoch, _)| *epoch == held.epoch)?;
    if turn.may_be_opened() {
        return Some(fence(turn, FenceCause::LeaseOver));
    }
    Some(release(turn, handoff, Reason::LeaseLost))
}

/// Gives the lease up. Only called where nothing can write.
pub(super) fn release(turn: &mut Turn<'_>, handoff: Option<MemberName>, reason: Reason) -> Reason {
    if let Some(held) = turn.held() {
        turn.memory.released = Some((held.epoch, handoff.clone()));
    }
    let ours =
        turn.seen.store.switchover.as_ref().is_some_and(|asked| asked.leader.as_ref().is_none_or(|name| *name == turn.seen.me));
    if turn.seen.guard.armed.is_some() && !turn.may_write() {
        turn.act(Action::Disarm);
    }
    let clear_switchover = handoff.is_some() && ours;
    turn.step(Action::Release { handoff, clear_switchover }, reason)
}
