//! The guard: page, permission and the deadline rule, as SAFETY §2 and `tanist-guard` have them. Its processes' effects on PostgreSQL
//! are carried out by `world::guard`.

use super::clock::MS;
use std::time::Duration;
use tanist_engine::{Epoch, FenceState, Moment, Reading};

/// How much later than the guard the agent fences.
pub const BEHIND_GUARD: u64 = 40 * MS;

/// The page's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// PostgreSQL may run as a standby only.
    Unarmed,
    /// The guard took the deadline.
    Fenced,
    /// A writable PostgreSQL is allowed.
    Armed(Permit),
}

/// A permission in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// For this epoch.
    pub epoch: Epoch,
    /// Until then, by the first of the two clocks.
    pub until: Reading,
    /// The lease's ttl.
    pub ttl: Duration,
}

impl Permit {
    /// Nanoseconds until the first of the two ends less `margin`.
    pub fn left(&self, now: Reading, margin: u64) -> u64 {
        let left = |end: Moment, now: Moment| end.as_nanos().saturating_sub(margin).saturating_sub(now.as_nanos());
        left(self.until.boot, now.boot).min(left(self.until.raw, now.raw))
    }
}

/// The page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The deadline.
    pub deadline: Deadline,
    /// The epoch last armed.
    pub epoch: Epoch,
    /// How far the newest fence is.
    pub fence: FenceState,
    /// Fences completed.
    pub fences: u64,
    /// The fence budget, nanoseconds.
    pub budget: u64,
}

/// The fence budget: max(300 ms, 2 × the longest fence measured), at most ttl/3.
pub fn budget(longest: u64, ttl: Duration) -> u64 {
    let most = (ttl.as_nanos() as u64) / 3;
    (300 * MS).max(longest * 2).min(most)
}

impl Page {
    /// The page of a guard that has just started.
    pub fn new() -> Self {
        Self { deadline: Deadline::Unarmed, epoch: Epoch::NONE, fence: FenceState::Complete, fences: 0, budget: 300 * MS }
    }

    /// The permission in force.
    pub fn permit(&self) -> Option<Permit> {
        match self.deadline {
            Deadline::Armed(permit) => Some(permit),
            Deadline::Unarmed | Deadline::Fenced => None,
        }
    }

    /// Whether something may become writable for this epoch now.
    pub fn permits(&self, epoch: Epoch, now: Reading) -> bool {
        self.permit().is_some_and(|permit| permit.epoch == epoch && permit.left(now, self.budget) > 0)
    }

    /// Guard: a writable PostgreSQL is allowed. `false`: refused.
    pub fn arm(&mut self, permit: Permit, longest: u64, now: Reading) -> bool {
        let budget = budget(longest, permit.ttl);
        if permit.epoch < self.epoch || permit.left(now, budget) == 0 {
            return false;
        }
        self.deadline = Deadline::Armed(permit);
        self.epoch = permit.epoch;
        self.budget = budget;
        true
    }

    /// Agent: the lease was renewed.
    pub fn extend(&mut self, epoch: Epoch, until: Reading) {
        if let Deadline::Armed(permit) = &mut self.deadline
            && permit.epoch == epoch
            && until.boot > permit.until.boot
            && until.raw >= permit.until.raw
        {
            permit.until = until;
        }
    }

    /// Guard: take the deadline.
    pub fn take(&mut self) {
        if let Deadline::Armed(_) = self.deadline {
            self.deadline = Deadline::Fenced;
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

/// The process.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Counts its starts.
    pub life: u32,
    /// It lives.
    pub alive: bool,
    /// Start nonce.
    pub nonce: u64,
    /// The page it shares with the agent.
    pub page: Page,
    /// The job whose command was last taken from the socket.
    pub served: u64,
    /// The longest fence until signalled.
    pub longest: u64,
    /// Boot time when it last ran, while it does not run.
    pub stood_still_at: Option<Moment>,
    /// The newest look that is planned.
    pub look: u64,
}

impl Guard {
    /// A guard that has just started.
    pub fn new(life: u32, nonce: u64) -> Self {
        Self { life, alive: true, nonce, page: Page::new(), served: 0, longest: 0, stood_still_at: None, look: 0 }
    }
}
