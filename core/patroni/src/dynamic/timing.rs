//! `ttl`, `loop_wait` and `retry_timeout`, with Patroni's rule between them.
//!
//! Neither loop_wait nor retry_timeout moves the lease here: the one bounds the time between two decisions, the other store calls off
//! the lease path. The rule is kept because Patroni shows the bent values, and its users read them.

use super::DynamicNote;
use crate::{DecodeError, fields::Fields};
use std::time::Duration;

/// The three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Lifetime of the lease without renewal.
    pub ttl: Duration,
    /// Upper bound between two decisions.
    pub loop_wait: Duration,
    /// Limit for store calls off the lease path.
    pub retry_timeout: Duration,
}

/// Seconds; Patroni's own default of 30 is three times as long as failover needs.
const TTL: u64 = 10;
/// The shortest lease etcd grants.
const MIN_TTL: u64 = 2;
/// From here on the guarantees hold through an election in the store.
const SAFE_TTL: u64 = 5;
/// A day; no failover is worth waiting for longer, and sums stay far from any limit.
const MAX: u64 = 86_400;
const LOOP_WAIT: u64 = 10;
const MIN_LOOP_WAIT: u64 = 1;
const RETRY_TIMEOUT: u64 = 10;

impl Timing {
    pub(super) fn read(fields: &mut Fields, notes: &mut Vec<DynamicNote>) -> Result<Self, DecodeError> {
        let ttl = match fields.number("ttl")? {
            None => TTL,
            Some(ttl) if (MIN_TTL..=MAX).contains(&ttl) => ttl,
            Some(_) => return Err(fields.wrong("ttl", "2 to 86400 seconds")),
        };
        let mut time = |option: &'static str| match fields.number(option)? {
            Some(time) if !(1..=MAX).contains(&time) => Err(fields.wrong(option, "1 to 86400 seconds")),
            time => Ok(time),
        };
        let (loop_wait, retry_timeout) = (time("loop_wait")?, time("retry_timeout")?);
        if ttl < SAFE_TTL {
            notes.push(DynamicNote::ShortTtl { ttl: Duration::from_secs(ttl) });
        }
        let (bent_wait, bent_retry) = bend(ttl, loop_wait.unwrap_or(LOOP_WAIT), retry_timeout.unwrap_or(RETRY_TIMEOUT));
        let [ttl, bent_wait, bent_retry] = [ttl, bent_wait, bent_retry].map(Duration::from_secs);
        for (option, configured, to) in [("loop_wait", loop_wait, bent_wait), ("retry_timeout", retry_timeout, bent_retry)] {
            // A default that had to give way is nobody's disappointment.
            if let Some(from) = configured.map(Duration::from_secs).filter(|from| *from != to) {
                notes.push(DynamicNote::Bent { option, from, to, ttl });
            }
        }
        Ok(Self { ttl, loop_wait: bent_wait, retry_timeout: bent_retry })
    }
}

/// loop_wait gives way first, down to one second, then retry_timeout, which keeps at least one.
fn bend(ttl: u64, loop_wait: u64, retry_timeout: u64) -> (u64, u64) {
    if MIN_LOOP_WAIT + 2 * retry_timeout > ttl {
        (MIN_LOOP_WAIT, ((ttl - MIN_LOOP_WAIT) / 2).max(1))
    } else {
        (loop_wait.min(ttl - 2 * retry_timeout), retry_timeout)
    }
}

impl Default for Timing {
    fn default() -> Self {
        let (loop_wait, retry_timeout) = bend(TTL, LOOP_WAIT, RETRY_TIMEOUT);
        let [ttl, loop_wait, retry_timeout] = [TTL, loop_wait, retry_timeout].map(Duration::from_secs);
        Self { ttl, loop_wait, retry_timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loop_wait_gives_way_first() {
        assert_eq!(bend(30, 10, 10), (10, 10));
        assert_eq!(bend(20, 10, 10), (1, 9));
        assert_eq!(bend(20, 10, 7), (6, 7));
        assert_eq!(bend(5, 10, 10), (1, 2));
        assert_eq!(bend(2, 1, 1), (1, 1));
    }
}
