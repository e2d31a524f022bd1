//! System calls, each wrapped once. All `unsafe` of the crate is in this directory; nothing here decides anything, and nothing
//! allocates unless its name says so.

#![allow(unsafe_code)]

pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod proc;
pub(crate) mod process;
pub(crate) mod socket;

use std::io;

/// -1 becomes the error of the thread's last call.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that return a length.
pub(crate) fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The same for raw system calls.
pub(crate) fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Nanoseconds of a clock that every supported kernel has.
pub(crate) fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the duration of the call.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "clock_gettime fails only for a clock that does not exist");
    // Both clocks count from boot: never negative, and 2^64 ns are 584 years.
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}
