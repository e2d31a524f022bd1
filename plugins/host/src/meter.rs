//! Computing time of one call.
//!
//! Counted is the processor time of this thread while the call is being polled: waiting for the agent costs a guest nothing, and a
//! machine that is short of processors does not make a guest look greedy.

use rustix::time::{ClockId, clock_gettime};
use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// No poll is under way.
const OUTSIDE: u64 = u64::MAX;

/// The meter of one instance; set to zero at each call. Used by one thread.
#[derive(Debug)]
pub(crate) struct Meter {
    budget: AtomicU64,
    used: AtomicU64,
    entered: AtomicU64,
}

impl Meter {
    pub(crate) const fn new() -> Self {
        Self { budget: AtomicU64::new(0), used: AtomicU64::new(0), entered: AtomicU64::new(OUTSIDE) }
    }

    /// Begins a call.
    pub(crate) fn begin(&self, budget: Duration) {
        self.budget.store(u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.used.store(0, Relaxed);
    }

    /// Used up to now, also in the middle of a poll.
    pub(crate) fn used(&self) -> Duration {
        let running = match self.entered.load(Relaxed) {
            OUTSIDE => 0,
            entered => processor_time().saturating_sub(entered),
        };
        Duration::from_nanos(self.used.load(Relaxed).saturating_add(running))
    }

    /// The budget is used up.
    pub(crate) fn exhausted(&self) -> bool {
        self.used() >= Duration::from_nanos(self.budget.load(Relaxed))
    }

    /// Counts the polls of `work`.
    pub(crate) async fn count<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.entered.store(processor_time(), Relaxed);
            let polled = work.as_mut().poll(context);
            self.used.store(u64::try_from(self.used().as_nanos()).unwrap_or(u64::MAX), Relaxed);
            self.entered.store(OUTSIDE, Relaxed);
            polled
        })
        .await
    }
}

/// Processor time of this thread, in nanoseconds.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(span: Duration) {
        let from = processor_time();
        while Duration::from_nanos(processor_time() - from) < span {}
    }

    #[tokio::test]
    async fn counts_computing_and_not_waiting() {
        let meter = Meter::new();
        meter.begin(Duration::from_millis(30));
        meter
            .count(async {
                spin(Duration::from_millis(10));
                tokio::time::sleep(Duration::from_millis(60)).await;
                assert!(!meter.exhausted(), "waiting was counted: {:?}", meter.used());
                spin(Duration::from_millis(20));
                assert!(meter.exhausted(), "computing was not counted: {:?}", meter.used());
            })
            .await;
        assert!(meter.used() >= Duration::from_millis(30));
        meter.begin(Duration::from_millis(30));
        assert!(!meter.exhausted());
    }
}
