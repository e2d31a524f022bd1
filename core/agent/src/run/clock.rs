//! The agent's clocks and its one timer.
//!
//! Deadlines of the lease are kept in boot time, which goes on while the machine is suspended; the second clock (raw monotonic) is not
//! touched by slewing. `tokio::time` is not used for them: it sleeps on CLOCK_MONOTONIC, which stands still in suspend.

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use std::{io, os::fd::OwnedFd, time::Duration};
use tanist_engine::{Moment, Reading};
use tokio::io::unix::AsyncFd;

/// Nanoseconds of boot time.
pub fn now() -> Moment {
    Moment::from_nanos(nanos(clock_gettime(ClockId::Boottime)))
}

/// Boot time and the raw monotonic clock, which nothing slews.
pub fn reading() -> Reading {
    Reading { boot: now(), raw: Moment::from_nanos(nanos(clock_gettime(ClockId::MonotonicRaw))) }
}

fn nanos(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// A timerfd on CLOCK_BOOTTIME that the run loop waits for.
pub struct Timer {
    fd: AsyncFd<OwnedFd>,
    set_to: Option<Moment>,
}

impl Timer {
    /// A timer that is not set. Call it inside the runtime that will wait for it.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "the safe form; the descriptor is owned by what is registered")]
        let fd = AsyncFd::new(fd)?;
        Ok(Self { fd, set_to: None })
    }

    /// Goes off at `at`; a moment that has passed goes off at once.
    pub fn set(&mut self, at: Moment) -> io::Result<()> {
        if self.set_to == Some(at) {
            return Ok(());
        }
        let span = Duration::from_nanos(at.as_nanos().max(1));
        let value =
            Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(span.subsec_nanos()) };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        self.set_to = Some(at);
        Ok(())
    }

    /// Waits until the moment that was set. Cancelling it loses nothing.
    pub async fn wait(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.fd.readable_mut().await?;
            let mut count = [0_u8; 8];
            match guard.try_io(|inner| rustix::io::read(inner.get_ref(), &mut count).map_err(io::Error::from)) {
                Ok(Ok(_)) => {
                    self.set_to = None;
                    return Ok(());
                }
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}
