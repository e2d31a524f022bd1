//! The lease is held and PostgreSQL does not run (SAFETY §7).
//!
//! A failover of an asynchronous cluster loses writes that a restart keeps; a restart of a synchronous one makes commits visible that
//! were never replicated, which a later failover loses. So, unless `primary_start_timeout` says something else: asynchronous: restart
//! in place; synchronous with a confirmed candidate: fail over; synchronous without: restart in place, where commits wait until a
//! standby has the end of WAL (`sync`). Where there is no room left here for a restart, or three were in vain, whoever
//! can lead is preferred in every mode.
//! Each of it only after a completed fence or a clean shutdown.

use super::{
    fence::fence,
    leading::{release, released},
    members, permission, renew, restart, storage, switchover,
    turn::Turn,
};
use crate::{Action, FenceCause, Held, Job, Moment, Reason, RestartStep, StartAs, Stopped};
use std::time::Duration;

/// So often a primary is started in vain before its lease goes to a standby, whatever that loses.
const STARTS: u32 = 3;

/// What becomes of the lease.
pub(super) fn recover(turn: &mut Turn<'_>, held: &Held, stopped: &Stopped) -> Reason {
    if !stopped.clean && !turn.fence_complete() {
        return fence(turn, FenceCause::Leftovers);
    }
    if let Some(reason) = switchover::hand_over(turn, stopped) {
        return reason;
    }
    if let Some(reason) = released(turn, held) {
        return reason;
    }
    if turn.seen.directory_replaced {
        // Restarted in place it would lead without what was written since it was copied. Whoever has that goes first.
        let heir = members::candidate(turn);
        turn.stay_out();
        return release(turn, heir, Reason::DirectoryReplaced);
    }
    if !stopped.was_primary {
        // The standby that won the race is gone; started again as a standby it may win the next one.
        return release(turn, None, Reason::NoDataToLead);
    }
    if let Some(to) = storage::fails_over(turn) {
        turn.stay_out();
        let why = turn.seen.storage.why.clone();
        return release(turn, Some(to.clone()), Reason::RoomElsewhere { to, why });
    }
    turn.memory.restarted = restart::comes_back(turn, stopped).then_some(held.epoch);
    if turn.memory.restarted.is_some() {
        return start_primary(turn, held, Reason::Restarting { step: RestartStep::Start });
    }
    if fails_over(turn) {
        if let Some(until) = names_change(turn) {
            return Reason::WaitSync { until };
        }
        let since = turn.memory.down_since.map_or(turn.now, |(_, since)| since).max(turn.now.minus(turn.policy.ttl / 2));
        if let Some(until) = members::asking(turn, since) {
            return Reason::AskingSuccessors { until };
        }
        if let Some(candidate) = members::candidate(turn) {
            turn.stay_out();
            return release(turn, Some(candidate.clone()), Reason::FailOverAfterCrash { candidate });
        }
    }
    start_primary(turn, held, Reason::RestartInPlace)
}

/// A write of `/sync` is under way, which may leave nobody named but this node: the lease would be nobody's for as long as this node lets
/// others go first. Until when it is waited for; not for long, for it may be lost.
fn names_change(turn: &mut Turn<'_>) -> Option<Moment> {
    let asked = turn.by_sync() && turn.memory.sync_is_asked(&turn.seen.store);
    let until = turn.memory.down_since.filter(|_| asked)?.1 + renew::ANSWER;
    (!turn.reached(until)).then_some(until)
}

/// Whether a candidate is preferred to a restart.
fn fails_over(turn: &mut Turn<'_>) -> bool {
    match turn.policy.primary_start_timeout {
        Some(Duration::ZERO) => true,
        Some(limit) => {
            let since = turn.memory.down_since.map_or(turn.now, |(_, since)| since);
            turn.reached(since + limit)
        }
        None if in_vain(turn) => true,
        // Before the cluster has a face there is nothing to lose by starting what was just made.
        None => turn.policy.synchronous.is_on() && turn.seen.store.primary.is_some(),
    }
}

/// So often it was started under this lease, and has ended before it answered.
fn starts(turn: &Turn<'_>, held: &Held) -> u32 {
    turn.memory.started_alone.filter(|(epoch, _)| *epoch == held.epoch).map_or(0, |(_, times)| times)
}

/// What keeps it from starting would keep it from starting for ever.
fn in_vain(turn: &Turn<'_>) -> bool {
    turn.held().is_some_and(|held| starts(turn, held) >= STARTS)
}

/// Arms the guard, then starts PostgreSQL without `standby.signal`.
fn start_primary(turn: &mut Turn<'_>, held: &Held, reason: Reason) -> Reason {
    if let Some(known) = turn.refused_by_guard(held) {
        turn.stay_out();
        return release(turn, None, Reason::EpochNotNewer { mine: held.epoch, known });
    }
    if !turn.armed_for(held) {
        return permission::wait(turn, held, members::candidate, Reason::Arming { epoch: held.epoch });
    }
    let first = turn.seen.store.primary.is_none();
    let reason = if first { Reason::StartingPrimary { epoch: held.epoch } } else { reason };
    let times = starts(turn, held);
    let reason = turn.run(Job::Start(StartAs::Primary { epoch: held.epoch }), reason);
    if turn.asked(|action| matches!(action, Action::Run(_))) {
        turn.memory.started_alone = Some((held.epoch, times.saturating_add(1)));
    }
    reason
}
