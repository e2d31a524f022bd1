//! The queue of a plugin (`tanist-queue`) over the broker's events, times and outcomes.

use crate::{
    Tuning,
    protocol::{Action, Event, Outcome, PluginError},
};
use std::time::Duration;
use tanist_engine::Callback;
use tanist_queue::{Backoff, OnFailure, QueuePolicy, Queued, Verdict};

/// One plugin's queue.
pub(crate) type Queue = tanist_queue::Queue<Event>;

impl Queued for Event {
    fn callback(&self) -> Callback {
        match self.action {
            Action::OnStart => Callback::OnStart,
            Action::OnStop => Callback::OnStop,
            Action::OnRestart => Callback::OnRestart,
            Action::OnReload => Callback::OnReload,
            Action::OnRoleChange => Callback::OnRoleChange,
        }
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn on_behalf_of(&self) -> Option<&str> {
        self.released_for()
    }
}

/// The policy of a plugin under these times. `salt`: see [`Backoff::salt`].
pub(crate) fn policy(tuning: &Tuning, interval: Duration, on_failure: OnFailure, salt: u64) -> QueuePolicy {
    let Tuning { retry_first, retry_cap, breaker_after, breaker_delay, jitter, .. } = *tuning;
    let backoff = Backoff { first: retry_first, cap: retry_cap, breaker_after, breaker_delay, jitter, salt };
    QueuePolicy { backoff, interval, on_failure }
}

/// What an outcome means for the queue.
pub(crate) fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Ok | Outcome::NotExported => Verdict::Done,
        Outcome::Plugin(PluginError::Permanent(_)) => Verdict::Hopeless,
        Outcome::Plugin(PluginError::Fenced(_)) => Verdict::Overtaken,
        Outcome::NotLoaded => Verdict::Lost,
        Outcome::Plugin(PluginError::Transient(_) | PluginError::Other(_))
        | Outcome::Trap { .. }
        | Outcome::CpuExceeded
        | Outcome::WallExceeded
        | Outcome::MemoryExceeded
        | Outcome::BudgetExceeded(_)
        | Outcome::Exited { .. }
        | Outcome::Cancelled
        | Outcome::Host(_) => Verdict::Failed,
    }
}
