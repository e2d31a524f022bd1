//! While a long job runs: wait, but not longer than the operator allowed.

use super::{fence::fence, members, primary, turn::Turn};
use crate::{FenceCause, Job, Moment, Reason, StartAs, Storage};
use std::time::Duration;

/// A promotion takes at least so long before it is given up.
const PROMOTION: Duration = Duration::from_secs(60);

/// Waits for the running job. A checkpoint is not waited for by a standby: it may take a minute, in which the leader may die.
pub(super) fn running(turn: &mut Turn<'_>) -> Option<Reason> {
    let running = turn.seen.job.as_ref()?;
    if running.job.gives_way() && !turn.seen.postgres.may_be_writable() {
        return None;
    }
    let too_long = match &running.job {
        Job::Stop(_) => stop_too_long(turn, running.since),
        Job::Start(StartAs::Primary { .. }) => start_too_long(turn),
        Job::Promote { .. } => promote_too_long(turn, running.since),
        _ => None,
    };
    Some(too_long.unwrap_or_else(|| {
        permit_on(turn);
        if running.job.gives_way() {
            primary::beside(turn);
        }
        Reason::JobRunning { job: running.job.name().to_owned() }
    }))
}

/// The leader key was lost and put back while something is being opened, or shut down: the permission follows the lease to its new epoch,
/// or it would end with the old one's term, and the server be fenced in the middle.
fn permit_on(turn: &mut Turn<'_>) {
    let Some(held) = turn.held().filter(|_| turn.may_write() && turn.memory.giving_up.is_none()) else { return };
    if turn.armed().is_some_and(|armed| armed.epoch < held.epoch) {
        turn.arm(held);
    }
}

/// A shutdown of a primary that does not end is finished by the fence.
fn stop_too_long(turn: &mut Turn<'_>, since: Moment) -> Option<Reason> {
    let configured = Some(turn.policy.primary_stop_timeout).filter(|limit| *limit > Duration::ZERO);
    // The shutdown checkpoint needs what is missing.
    let storage = (turn.seen.storage.state != Storage::Good).then_some(turn.policy.ttl);
    let limit = since + configured.into_iter().chain(storage).min()?;
    (turn.seen.postgres.may_be_writable() && turn.reached(limit)).then(|| fence(turn, FenceCause::StopTooLong))
}

/// A promotion that does not end is given up where somebody else could lead: `recovery_end_command` or `restore_command` may hang on
/// one node alone. The end of recovery has no limit of its own in `patroni.yml`; it gets that of a start, where that is not shorter.
fn promote_too_long(turn: &mut Turn<'_>, since: Moment) -> Option<Reason> {
    let held = turn.held()?;
    let limit = turn.policy.primary_start_timeout.unwrap_or_default().max(PROMOTION).max(turn.policy.ttl * 3);
    if !turn.reached(since + limit) || members::asking(turn, since + limit).is_some() {
        return None;
    }
    members::successor(turn)?;
    turn.give_up(held);
    Some(fence(turn, FenceCause::PromotionTooLong))
}

/// `primary_start_timeout`: the recovery of the old primary ends here if somebody else can lead. Zero says what becomes of one that
/// crashed; one that was stopped for a restart did not.
pub(super) fn start_too_long(turn: &mut Turn<'_>) -> Option<Reason> {
    let held = turn.held()?;
    let restarted = turn.memory.restarted == Some(held.epoch);
    let limit = turn.policy.primary_start_timeout.filter(|limit| *limit > Duration::ZERO || !restarted)?;
    let until = turn.memory.down_since?.1 + limit;
    if !turn.reached(until) || members::asking(turn, until).is_some() {
        return None;
    }
    members::candidate(turn)?;
    turn.give_up(held);
    Some(fence(turn, FenceCause::StartTooLong))
}
