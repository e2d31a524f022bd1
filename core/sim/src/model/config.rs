//! The dynamic configuration in the store, as far as it decides anything here.

use std::time::Duration;
use tanist_engine::{Policy, SyncMode};

/// `/config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Synchronous replication.
    pub mode: SyncMode,
    /// The lease's ttl, nanoseconds.
    pub ttl: u64,
    /// Failsafe mode.
    pub failsafe: bool,
}

impl Config {
    /// What is in force.
    pub fn of(policy: &Policy) -> Self {
        Self { mode: policy.synchronous, ttl: policy.ttl.as_nanos() as u64, failsafe: policy.failsafe }
    }

    /// Puts it in force. `true`: something else was.
    pub fn rule(self, policy: &mut Policy) -> bool {
        let changed = Self::of(policy) != self;
        (policy.synchronous, policy.ttl) = (self.mode, Duration::from_nanos(self.ttl));
        policy.failsafe = self.failsafe;
        changed
    }
}
