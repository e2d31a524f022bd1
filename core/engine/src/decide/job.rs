//! While a long job runs: wait, but not longer than the operator allowed.

use super::{fence::fence, members, turn::Turn};
use crate::{FenceCause, Job, Moment, Reason, StartAs, Storage};
use std::time::Duration;

/// Waits for the running job.
pub(super) fn running(turn: &mut Turn<'_>) -> Option<Reason> {
    let running = turn.seen.job.as_ref()?;
    let too_long = match &running.job {
        Job::Stop(_) => stop_too_long(turn, running.since),
        Job::Start(StartAs::Primary { .. }) => start_too_long(turn),
        _ => None,
    };
    Some(too_long.unwrap_or_else(|| Reason::JobRunning { job: running.job.name().to_owned() }))
}

/// A shutdown of a primary that does not end is finished by the fence.
fn stop_too_long(turn: &mut Turn<'_>, since: Moment) -> Option<Reason> {
    let configured = Some(turn.policy.primary_stop_timeout).filter(|limit| *limit > Duration::ZERO);
    // The shutdown checkpoint needs what is missing.
    let storage = (turn.seen.storage.state != Storage::Good).then_some(turn.policy.ttl);
    let limit = since + configured.into_iter().chain(storage).min()?;
    (turn.seen.postgres.may_be_writable() && turn.reached(limit)).then(|| fence(turn, FenceCause::StopTooLong))
}

/// `primary_start_timeout`: the recovery of the old primary ends here if somebody else can lead.
pub(super) fn start_too_long(turn: &mut Turn<'_>) -> Option<Reason> {
    let held = turn.held()?;
    let limit = turn.memory.down_since?.1 + turn.policy.primary_start_timeout?;
    if !turn.reached(limit) {
        return None;
    }
    members::candidate(turn)?;
    turn.give_up(held);
    Some(fence(turn, FenceCause::StartTooLong))
}
