//! What the agent must do about its guard, from the page, the clocks, and whether the guard lives.
//!
//! To be asked from an operating system thread of its own, at least every [`Watchdog::INTERVAL_NS`]; a fence it asks for is carried out
//! on that thread with [`crate::fence()`]. The rules (SAFETY, "Watching each other"):
//!
//! - Guard dead: fence, release, exit. The kernel has told the postmaster to end; its backends need the rest.
//! - Armed, and the deadline − budget + 40 ms has passed on either clock without the page saying *complete*: fence too. Who took the
//!   deadline does not matter: a guard may be frozen right after taking it.
//! - Armed, and the guard's heartbeat older than min(ttl/5, 1 s): fence, stop renewing, release. Not when this thread itself did not
//!   run for a while (a frozen machine): then the guard gets the same chance to run first. The deadline's rule knows no such grace.

use crate::{
    clock::{MS, Now, SECOND},
    page::{Armed, Deadline, FenceState, Page},
};

/// How much later than the guard the agent fences.
const BEHIND_GUARD: u64 = 40 * MS;

/// What was seen in one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The deadline.
    pub deadline: Deadline,
    /// The state of the fence.
    pub fence: FenceState,
    /// The fence budget.
    pub budget_ns: u64,
    /// The guard's heartbeat, boot nanoseconds.
    pub guard_heartbeat: u64,
    /// From the pidfd.
    pub guard_alive: bool,
    /// The clocks, read after everything else.
    pub now: Now,
}

impl Look {
    /// Look at the page now.
    pub fn at(page: &Page, guard_alive: bool) -> Self {
        let (deadline, fence) = loop {
            let deadline = page.deadline();
            let fence = page.fence_state();
            // A standby's start after a fence clears first the deadline, then `Complete`: never see one without the other.
            if page.deadline() == deadline {
                break (deadline, fence);
            }
        };
        Self {
            deadline,
            fence,
            budget_ns: page.budget_ns(),
            guard_heartbeat: page.guard_heartbeat(),
            guard_alive,
            now: Now::read(),
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Nothing; look again after this many nanoseconds at the latest.
    Wait(u64),
    /// Fence with [`crate::fence()`], stop renewing, release the lease after it; exit too where the reason is the guard's death.
    Fence(FenceReason),
}

/// Why the agent must fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason {
    /// The guard is dead. The agent exits after the release.
    GuardDead,
    /// The guard does not run.
    GuardSilent,
    /// The deadline came, and the guard's fence did not complete in time.
    Deadline,
}

/// The watch over the guard. Pure but for what it remembers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watchdog {
    last_look: Option<u64>,
    lenient_until: u64,
    last_armed: Option<Armed>,
}

impl Watchdog {
    /// Longest time between two looks.
    pub const INTERVAL_NS: u64 = 100 * MS;
    /// Two looks further apart mean that this thread was not running.
    const FROZEN_NS: u64 = 200 * MS;

    /// Decide.
    pub fn look(&mut self, seen: &Look) -> Duty {
        let now = seen.now.boot;
        if self.last_look.is_none_or(|last| now.saturating_sub(last) > Self::FROZEN_NS) {
            self.lenient_until = now + Self::FROZEN_NS;
        }
        self.last_look = Some(now);
        if !seen.guard_alive {
            return Duty::Fence(FenceReason::GuardDead);
        }
        match seen.deadline {
            Deadline::Armed(armed) => self.last_armed = Some(armed),
            Deadline::Unarmed => self.last_armed = None,
            Deadline::Fenced => {}
        }
        if seen.fence == FenceState::Complete {
            return Duty::Wait(Self::INTERVAL_NS);
        }
        let left = match (seen.deadline, self.last_armed) {
            (Deadline::Unarmed, _) => return Duty::Wait(Self::INTERVAL_NS),
            (_, Some(armed)) => armed.left(seen.now, seen.budget_ns.saturating_sub(BEHIND_GUARD)),
            // Taken before this agent ever looked, and not complete.
            (_, None) => 0,
        };
        if left == 0 {
            return Duty::Fence(FenceReason::Deadline);
        }
        let ttl = self.last_armed.map_or(0, |armed| armed.ttl);
        let silent = now.saturating_sub(seen.guard_heartbeat) > (ttl / 5).min(SECOND);
        if silent && now >= self.lenient_until {
            return Duty::Fence(FenceReason::GuardSilent);
        }
        Duty::Wait(left.min(Self::INTERVAL_NS))
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
