//! The one clock that the lease is timed with, handed in so that tests can stop it.

use std::{fmt, sync::Arc};
use tanist_engine::{Moment, Reading};

/// Reads boot time and the raw hardware clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Reading + Send + Sync>);

impl Clock {
    /// CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW of this machine.
    pub fn system() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        fn moment(id: ClockId) -> Moment {
            let time = clock_gettime(id);
            let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
            let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
            Moment::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
        }
        Self::new(|| Reading { boot: moment(ClockId::Boottime), raw: moment(ClockId::MonotonicRaw) })
    }

    /// A clock of the caller's.
    pub fn new(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Both clocks now.
    pub fn now(&self) -> Reading {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}
