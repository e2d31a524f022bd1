//! The service is being stopped: PostgreSQL down in order, lease handed over, callbacks told, end.

use super::{
    fence::{fence, is_blind},
    leading::release,
    members, storage,
    turn::Turn,
};
use crate::{Action, FenceCause, Job, MemberName, Moment, Postgres, Reason, ServerRole, StopMode, StopStep};

/// The next step of the stop; nothing when the service is not being stopped.
pub(super) fn stop(turn: &mut Turn<'_>) -> Option<Reason> {
    if !turn.seen.stopping {
        return None;
    }
    if storage::is_broken(turn) {
        return Some(cut_short(turn));
    }
    if let Some(running) = &turn.seen.job {
        match running.job {
            // They leave a directory that is known to be half made, and nothing that could write.
            Job::Clone { .. } | Job::Rewind { .. } | Job::Bootstrap if !turn.seen.postgres.may_be_writable() => {
                return Some(leave(turn));
            }
            // A standby stops beside it.
            _ if running.job.gives_way() && !turn.seen.postgres.may_be_writable() => {}
            _ => return Some(wait_for_job(turn, running.since)),
        }
    }
    let seen = turn.seen;
    Some(match &seen.postgres {
        Postgres::NoData | Postgres::HalfMade => leave(turn),
        Postgres::Stopped(stopped) if stopped.clean || turn.fence_complete() => leave(turn),
        Postgres::Stopped(_) => fence(turn, FenceCause::Leftovers),
        Postgres::Unresponsive { .. } => fence(turn, FenceCause::Unresponsive),
        Postgres::Unknown if !is_blind(turn) => unseen(turn),
        Postgres::Unknown if turn.fence_complete() => leave(turn),
        Postgres::Unknown => fence(turn, FenceCause::Blind),
        Postgres::Starting { .. } => stop_postgres(turn),
        Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }) => {
            checkpoint(turn).unwrap_or_else(|| stop_postgres(turn))
        }
        Postgres::Running(_) => stop_postgres(turn),
    })
}

/// What runs is not known: a server that turns our sessions away can be stopped all the same.
fn unseen(turn: &mut Turn<'_>) -> Reason {
    let since = *turn.memory.stop_checkpoint.get_or_insert(turn.now);
    if turn.reached(since + turn.policy.ttl / 2) { stop_postgres(turn) } else { Reason::ProbePending }
}

/// Neither a shutdown nor a job ends while nothing can be written: the fence ends both.
fn cut_short(turn: &mut Turn<'_>) -> Reason {
    let quiet = match &turn.seen.postgres {
        Postgres::NoData | Postgres::HalfMade => turn.seen.job.is_none(),
        Postgres::Stopped(stopped) => stopped.clean && turn.seen.job.is_none(),
        _ => false,
    };
    if quiet || turn.fenced() { leave(turn) } else { storage::fence(turn) }
}

/// A job is waited for; one that could open a primary, or a shutdown beyond its limit, is cut short by the fence.
fn wait_for_job(turn: &mut Turn<'_>, since: Moment) -> Reason {
    if let Some(reason) = super::job::running(turn).filter(|reason| !matches!(reason, Reason::JobRunning { .. })) {
        return reason;
    }
    let opening = turn.seen.job.as_ref().is_some_and(|running| matches!(running.job, Job::Start(_) | Job::Promote { .. }));
    if opening && turn.reached(since + turn.policy.ttl) {
        return fence(turn, FenceCause::StopTooLong);
    }
    Reason::Stopping { step: StopStep::Postgres }
}

/// A checkpoint first makes the time without a primary short. One is enough, whatever became of it.
fn checkpoint(turn: &mut Turn<'_>) -> Option<Reason> {
    let asked_at = *turn.memory.stop_checkpoint.get_or_insert(turn.now);
    let after = |report: &crate::JobReport| report.at >= asked_at && report.job == Job::Checkpoint;
    let done = turn.seen.last_job.as_ref().is_some_and(|report| after(report) || matches!(report.job, Job::Stop(_)));
    (!done).then(|| turn.run(Job::Checkpoint, Reason::Stopping { step: StopStep::Checkpoint }))
}

fn stop_postgres(turn: &mut Turn<'_>) -> Reason {
    turn.run(Job::Stop(StopMode::Fast), Reason::Stopping { step: StopStep::Postgres })
}

/// Nothing of PostgreSQL runs: release, then end.
fn leave(turn: &mut Turn<'_>) -> Reason {
    if turn.held().is_some_and(|held| turn.now < held.until) {
        let to = heir(turn);
        return release(turn, to, Reason::Stopping { step: StopStep::Release });
    }
    turn.step(Action::Exit, Reason::Stopping { step: StopStep::Done })
}

/// Who goes first in the race that begins now.
fn heir(turn: &Turn<'_>) -> Option<MemberName> {
    let asked = turn.seen.store.switchover.as_ref().and_then(|asked| asked.candidate.clone());
    let fit = |name: &MemberName| !turn.by_sync() || members::is_sync_standby(turn, name);
    asked
        .filter(|name| members::others(turn).any(|member| member.name == *name) && fit(name))
        .or_else(|| members::candidate(turn))
}
