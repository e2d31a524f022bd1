//! The rules of [`super::Watchdog`], one by one.

use super::*;

const TTL: u64 = 5 * SECOND;
const BUDGET: u64 = 300 * MS;

/// A page armed at time zero, seen at `now` ms on both clocks with the guard alive and its heartbeat `silent` ms old.
fn look(now: u64, silent: u64) -> Look {
    let page = Page::create(1).unwrap().0;
    page.arm(7, TTL, TTL, TTL);
    Look {
        deadline: page.deadline(),
        fence: FenceState::Open,
        budget_ns: BUDGET,
        guard_heartbeat: now.saturating_sub(silent) * MS,
        guard_alive: true,
        now: Now { boot: now * MS, raw: now * MS },
    }
}

/// A watchdog that has looked regularly until `now` ms.
fn awake(now: u64) -> Watchdog {
    let mut watchdog = Watchdog::default();
    for at in (now - 1000..now).step_by(50) {
        assert!(matches!(watchdog.look(&look(at, 10)), Duty::Wait(_)));
    }
    watchdog
}

#[test]
fn a_dead_guard_is_always_fenced_after() {
    let unarmed = Look { deadline: Deadline::Unarmed, fence: FenceState::Complete, guard_alive: false, ..look(1000, 10) };
    assert_eq!(awake(1000).look(&unarmed), Duty::Fence(FenceReason::GuardDead));
}

#[test]
fn the_agent_fences_forty_milliseconds_after_the_guard() {
    assert_eq!(awake(4739).look(&look(4739, 10)), Duty::Wait(MS));
    assert_eq!(awake(4740).look(&look(4740, 10)), Duty::Fence(FenceReason::Deadline));
    let raw_is_ahead = Look { now: Now { boot: 4000 * MS, raw: 4740 * MS }, ..look(4000, 10) };
    assert_eq!(awake(4000).look(&raw_is_ahead), Duty::Fence(FenceReason::Deadline));
}

#[test]
fn who_took_the_deadline_does_not_matter_only_completion_does() {
    let taken = |now| Look { deadline: Deadline::Fenced, fence: FenceState::Running, ..look(now, 10) };
    assert_eq!(awake(4720).look(&taken(4720)), Duty::Wait(20 * MS), "the guard has its 40 ms");
    assert_eq!(awake(4740).look(&taken(4740)), Duty::Fence(FenceReason::Deadline));
    assert_eq!(Watchdog::default().look(&taken(4720)), Duty::Fence(FenceReason::Deadline), "an agent that never saw it armed");
    let complete = Look { fence: FenceState::Complete, ..taken(9000) };
    assert!(matches!(awake(4740).look(&complete), Duty::Wait(_)));
}

#[test]
fn a_silent_guard_is_fenced_for() {
    assert!(matches!(awake(2000).look(&look(2000, 1000)), Duty::Wait(_)));
    assert_eq!(awake(2000).look(&look(2000, 1001)), Duty::Fence(FenceReason::GuardSilent));
    let unarmed = Look { deadline: Deadline::Unarmed, ..look(2000, 2000) };
    assert!(matches!(awake(2000).look(&unarmed), Duty::Wait(_)));
}

#[test]
fn after_both_were_frozen_the_guard_gets_its_turn_but_no_more_time() {
    let mut watchdog = awake(1000);
    assert!(matches!(watchdog.look(&look(3000, 2000)), Duty::Wait(_)), "frozen for 2 s, lease still long");
    for at in (3050..3200).step_by(50) {
        assert!(matches!(watchdog.look(&look(at, at - 1000)), Duty::Wait(_)));
    }
    assert_eq!(watchdog.look(&look(3200, 2200)), Duty::Fence(FenceReason::GuardSilent));
    assert_eq!(awake(1000).look(&look(4800, 3800)), Duty::Fence(FenceReason::Deadline), "no grace for the deadline");
}
