//! Who leads, as far as claims are concerned, and the clock this is measured with.

use crate::protocol::Denial;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tanist_engine::{Epoch, Moment};

/// The newest epoch known here, and this node's own lease under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest epoch known, whoever holds it.
    pub epoch: Epoch,
    /// This node holds the lease of that epoch until then; `None`: it does not hold it.
    pub lease_until: Option<Moment>,
    /// How long a lease lasts from its renewal, by the rules now in force.
    pub ttl: Duration,
}

impl Leadership {
    /// The same, but for less than a millisecond: the end of a lease is read off two clocks at every turn of the agent.
    pub(crate) fn is_about(&self, other: &Self) -> bool {
        let near = match (self.lease_until, other.lease_until) {
            (Some(known), Some(told)) => known.since(told).max(told.since(known)) < Duration::from_millis(1),
            (known, told) => known == told,
        };
        (self.epoch, self.ttl) == (other.epoch, other.ttl) && near
    }

    /// Whether a claim in the name of `epoch` that is over at `deadline` may be sent now.
    pub(crate) fn covers(&self, epoch: u64, deadline: Moment) -> Result<(), Denial> {
        let Epoch(current) = self.epoch;
        if current != epoch {
            return Err(Denial::StaleEpoch { asked: epoch, current });
        }
        if self.lease_until.is_none_or(|until| until < deadline) {
            return Err(Denial::NotLeader);
        }
        if now() >= deadline { Err(Denial::Expired) } else { Ok(()) }
    }
}

/// Now, on CLOCK_BOOTTIME: the clock of the agent's `Moment`s. Goes on while the machine is suspended.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
