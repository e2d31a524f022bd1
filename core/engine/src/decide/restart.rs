//! A restart that the operator asked for: checkpoint (so that the stop is short) → fast stop → start in the same role, under the same
//! lease. Never by itself: a setting that waits for a restart waits for this.
//!
//! The request lasts until PostgreSQL has been started again. A server that does not end in order has crashed, and `crashed` decides.

use super::turn::Turn;
use crate::{Job, JobReport, Reason, RestartStep, StopMode, Stopped};

/// While PostgreSQL runs: the next step; nothing when no restart was asked for.
pub(super) fn stop(turn: &mut Turn<'_>) -> Option<Reason> {
    let asked = turn.seen.restart?;
    // One checkpoint is enough, whatever became of it.
    let after = |report: &JobReport| report.at >= asked && matches!(report.job, Job::Checkpoint | Job::Stop(_));
    if turn.seen.last_job.as_ref().is_some_and(after) {
        turn.memory.restart_begun = Some(asked);
        return Some(turn.run(Job::Stop(StopMode::Fast), Reason::Restarting { step: RestartStep::Stop }));
    }
    Some(turn.run(Job::Checkpoint, Reason::Restarting { step: RestartStep::Checkpoint }))
}

/// The primary was stopped for a restart and for nothing else: it is started again instead of failing over, also when whoever asked for it
/// does not wait any more.
pub(super) fn comes_back(turn: &Turn<'_>, stopped: &Stopped) -> bool {
    let Some(asked) = turn.seen.restart.or(turn.memory.restart_begun) else { return false };
    let for_this = |report: &JobReport| report.at >= asked && matches!(report.job, Job::Stop(_) | Job::Start(_));
    stopped.clean && stopped.was_primary && turn.seen.last_job.as_ref().is_some_and(for_this)
}
