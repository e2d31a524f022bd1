//! How long to wait after failures.

use std::time::Duration;

/// Doubles from `first` to `cap`; from `breaker_after` failures in a row on it is `breaker_delay`. Each delay is shortened by chance, so
/// that plugins that failed at the same moment do not all come back at the same moment.
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
    /// A delay is shortened by up to so many percent of itself.
    pub jitter: u32,
    /// What differs between plugins and nodes, and with it the chance.
    pub salt: u64,
}

impl Backoff {
    /// The delay after so many failures in a row.
    pub fn after(&self, failures: u32) -> Duration {
        let full = if self.is_open(failures) {
            self.breaker_delay
        } else {
            let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
            self.first.saturating_mul(doubled).min(self.cap)
        };
        full - full.mul_f64(f64::from(self.jitter.min(100)) / 100.0 * self.chance(failures))
    }

    /// Whether so many failures in a row open the breaker.
    pub fn is_open(&self, failures: u32) -> bool {
        failures >= self.breaker_after
    }

    /// From 0 to below 1, another one for every salt and number of failures.
    fn chance(&self, failures: u32) -> f64 {
        let mut mixed = self.salt.wrapping_add(u64::from(failures).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let upper = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(upper) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(200),
        cap: Duration::from_secs(1),
        breaker_after: 6,
        breaker_delay: Duration::from_secs(30),
        jitter: 0,
        salt: 1,
    };

    #[test]
    fn it_doubles_is_capped_and_then_breaks() {
        let delays: Vec<u128> = (1..=7).map(|failures| BACKOFF.after(failures).as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1_000, 1_000, 30_000, 30_000]);
        let endless = Backoff { breaker_after: u32::MAX, ..BACKOFF };
        assert_eq!(endless.after(4_000_000), Duration::from_secs(1));
    }

    #[test]
    fn jitter_shortens_differently_and_never_too_much() {
        let delays: Vec<Duration> = (0..1_000).map(|salt| Backoff { jitter: 25, salt, ..BACKOFF }.after(1)).collect();
        let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*least >= Duration::from_millis(150) && *least < Duration::from_millis(152), "{least:?}");
        assert!(*most <= Duration::from_millis(200) && *most > Duration::from_millis(198), "{most:?}");
    }
}
