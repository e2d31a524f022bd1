//! The two clocks that time a lease: boot time, which counts suspend and can be slewed, and CLOCK_MONOTONIC_RAW, which does neither.
//!
//! A holder counts the larger of the two elapsed times (SAFETY: no slewing makes two leases overlap), so a deadline is a pair.

use crate::sys;

/// Nanoseconds of CLOCK_BOOTTIME.
pub fn boot_now_ns() -> u64 {
    sys::clock_ns(libc::CLOCK_BOOTTIME)
}

/// Nanoseconds of CLOCK_MONOTONIC_RAW.
pub fn raw_now_ns() -> u64 {
    sys::clock_ns(libc::CLOCK_MONOTONIC_RAW)
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME, nanoseconds.
    pub boot: u64,
    /// CLOCK_MONOTONIC_RAW, nanoseconds.
    pub raw: u64,
}

impl Now {
    /// Read both.
    pub fn read() -> Self {
        Self { boot: boot_now_ns(), raw: raw_now_ns() }
    }
}

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000 * MS;
