//! What the loop waits on: timerfd on boot time, signalfd, poll.

use super::{check, check_len};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// A timer on CLOCK_BOOTTIME; unlike poll's own time-out it counts suspend.
pub(crate) fn timer() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is ours.
    unsafe {
        Ok(OwnedFd::from_raw_fd(check(libc::timerfd_create(libc::CLOCK_BOOTTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK))?))
    }
}

/// Let the timer fire at this boot time (at once when it has passed).
pub(crate) fn set_timer(timer: BorrowedFd<'_>, boot_ns: u64) -> io::Result<()> {
    let at = boot_ns.max(1);
    let spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: (at / 1_000_000_000) as libc::time_t, tv_nsec: (at % 1_000_000_000) as libc::c_long },
    };
    // SAFETY: `spec` is valid for the call, the old value is not asked for.
    check(unsafe { libc::timerfd_settime(timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &spec, std::ptr::null_mut()) }).map(drop)
}

/// Block these signals and read them from the descriptor instead.
pub(crate) fn signals(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use; the descriptor is ours.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()))?;
        Ok(OwnedFd::from_raw_fd(check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?))
    }
}

/// The next signal that waits.
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> Option<libc::c_int> {
    // SAFETY: signalfd_siginfo is plain data, the kernel writes at most its size into it.
    unsafe {
        let mut info = std::mem::zeroed::<libc::signalfd_siginfo>();
        let size = std::mem::size_of_val(&info);
        let read = check_len(libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size)).ok()?;
        (read == size).then_some(info.ssi_signo as libc::c_int)
    }
}

/// One descriptor to wait for.
pub(crate) fn interest(fd: Option<RawFd>, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd: fd.unwrap_or(-1), events, revents: 0 }
}

/// Wait until one is ready; a negative time-out waits for ever. An interrupted wait is a wait that ended.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout_ms: libc::c_int) {
    // SAFETY: the slice is valid for its length.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
}

/// Sleep on CLOCK_MONOTONIC; for waits that no deadline depends on.
pub(crate) fn nap(ns: u64) {
    let time = libc::timespec { tv_sec: (ns / 1_000_000_000) as libc::time_t, tv_nsec: (ns % 1_000_000_000) as libc::c_long };
    // SAFETY: `time` is valid for the call, the remainder is not asked for.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}
