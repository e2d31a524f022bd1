//! How long to wait after failures.

use std::time::Duration;

/// Doubles from `first` to `cap`; from `breaker_after` failures in a row on it is `breaker_delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most, while the breaker is closed.
    pub cap: Duration,
    /// So many failures in a row open the breaker.
    pub breaker_after: u32,
    /// While it is open.
    pub breaker_delay: Duration,
}

impl Backoff {
    /// The delay after so many failures in a row.
    pub fn after(&self, failures: u32) -> Duration {
        if self.is_open(failures) {
            return self.breaker_delay;
        }
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.cap)
    }

    /// Whether so many failures in a row open the breaker.
    pub fn is_open(&self, failures: u32) -> bool {
        failures >= self.breaker_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_is_capped_and_then_breaks() {
        let millis = Duration::from_millis;
        let backoff = Backoff { first: millis(200), cap: millis(1_000), breaker_after: 6, breaker_delay: millis(30_000) };
        let delays: Vec<u128> = (1..=7).map(|failures| backoff.after(failures).as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1_000, 1_000, 30_000, 30_000]);
        let endless = Backoff { breaker_after: u32::MAX, ..backoff };
        assert_eq!(endless.after(4_000_000), millis(1_000));
    }
}
