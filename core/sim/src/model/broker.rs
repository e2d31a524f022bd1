//! A plugin as its agent calls it: the shipped queue (`tanist-queue`: order, latest role, back-off, breaker) over a journal that outlives
//! the agent. Beside it stands `plugins`, which has to see every callback.
//!
//! The journal is as new as the queue whenever a call begins and after it has ended. A write of it that is late or fails, and the role
//! that is then told anew, are the broker's own and tested there.

use super::clock::SEC;
use std::time::Duration;
use tanist_engine::{Callback, Emission, Moment};
use tanist_queue::{Backoff, Delivery, OnFailure, Queue, QueuePolicy, Queued, Verdict};

/// A callback with its number.
#[derive(Clone, Debug)]
pub struct Told {
    /// Counts the node's callbacks, from one.
    pub number: u64,
    /// The callback.
    pub emission: Emission,
}

impl Queued for Told {
    fn callback(&self) -> Callback {
        self.emission.callback
    }

    fn sequence(&self) -> u64 {
        self.number
    }

    fn on_behalf_of(&self) -> Option<&str> {
        None
    }
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done and answered.
    Done,
    /// It has failed.
    Failed,
    /// Done, and the answer was lost.
    Unheard,
    /// The process that runs plugins died under it.
    HostDied,
}

impl Outcome {
    fn verdict(self) -> Verdict {
        match self {
            Self::Done => Verdict::Done,
            Self::Failed | Self::Unheard => Verdict::Failed,
            Self::HostDied => Verdict::Lost,
        }
    }
}

/// A node's plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    queue: Queue<Told>,
    policy: QueuePolicy,
    /// It has `reconcile`.
    reconciles: bool,
    /// On the disk.
    journal: Vec<Told>,
    /// The highest number so far, on the disk as well.
    last: u64,
    /// True time of the next planned look.
    pub planned: u64,
}

impl Plugin {
    /// The plugin of the node of this number. Rests are short, so that the breaker opens and closes within a schedule.
    pub fn new(node: usize) -> Self {
        let backoff = Backoff {
            first: Duration::from_millis(200),
            cap: Duration::from_secs(2),
            breaker_after: 4,
            breaker_delay: Duration::from_secs(3),
            jitter: 25,
            salt: node as u64,
        };
        let interval = Duration::from_nanos(10 * SEC);
        let policy = QueuePolicy { backoff, interval, on_failure: OnFailure::Retry };
        let reconciles = node.is_multiple_of(2);
        Self { queue: Queue::new(policy), policy, reconciles, journal: Vec::new(), last: 0, planned: u64::MAX }
    }

    /// The agent has started: what it knows is what the journal says.
    pub fn restart(&mut self, now: Moment) {
        self.queue = Queue::new(self.policy);
        self.planned = u64::MAX;
        for told in std::mem::take(&mut self.journal) {
            self.queue.push(told, now);
        }
        self.write();
        self.open(now);
    }

    /// The plugin can be called.
    pub fn open(&mut self, now: Moment) {
        self.queue.open(self.reconciles, now);
    }

    /// A callback, and its number.
    pub fn push(&mut self, emission: Emission, now: Moment) -> u64 {
        self.last += 1;
        self.queue.push(Told { number: self.last, emission }, now);
        self.write();
        self.last
    }

    /// What to call for now.
    pub fn begin(&mut self, now: Moment) -> Option<Delivery<Told>> {
        self.queue.next(now)
    }

    /// The call has ended.
    pub fn ended(&mut self, outcome: Outcome, now: Moment) {
        if outcome == Outcome::HostDied {
            self.queue.close();
        }
        self.queue.finished(outcome.verdict(), now);
        self.write();
    }

    /// When to look again.
    pub fn wake_at(&self) -> Option<Moment> {
        self.queue.wake_at()
    }

    /// A callback is waited for.
    pub fn waits(&self) -> bool {
        self.queue.waiting().next().is_some()
    }

    fn write(&mut self) {
        self.journal.clear();
        self.journal.extend(self.queue.waiting().cloned());
    }
}
