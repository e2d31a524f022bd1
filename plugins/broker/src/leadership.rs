//! Who leads, as far as claims are concerned, and the clock this is measured with.

use rustix::time::{ClockId, clock_gettime};
use tanist_engine::{Epoch, Moment};

/// The newest epoch known here, and this node's own lease under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest epoch known, whoever holds it.
    pub epoch: Epoch,
    /// This node holds the lease of that epoch until then; `None`: it does not hold it.
    pub lease_until: Option<Moment>,
}

/// Now, on CLOCK_BOOTTIME: the clock of the agent's `Moment`s. Goes on while the machine is suspended.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
