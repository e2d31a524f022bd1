//! The clocks of one node: boot time (can be slewed) and the raw oscillator (cannot), each with a rate of its own, both able to stand
//! still while the world goes on (a virtual machine that is paused without noticing).

use tanist_engine::{Moment, Reading};

/// One millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;
/// One second in nanoseconds.
pub const SEC: u64 = 1_000 * MS;
const MILLION: u64 = 1_000_000;
/// Spans below this (a quarter of an hour and more) times a rate fit 64 bits.
const SHORT: u64 = 1 << 40;

/// Both clocks of a node, as functions of true time.
#[derive(Clone, Debug)]
pub struct NodeClock {
    since: u64,
    boot: u64,
    raw: u64,
    boot_ppm: i64,
    raw_ppm: i64,
    stopped: bool,
}

fn rate(ppm: i64) -> u64 {
    MILLION.saturating_add_signed(ppm)
}

fn advance(span: u64, ppm: i64) -> u64 {
    if span < SHORT {
        return span * rate(ppm) / MILLION;
    }
    (u128::from(span) * u128::from(rate(ppm)) / u128::from(MILLION)) as u64
}

impl NodeClock {
    /// Clocks that show `start` at true time zero; the oscillator is `raw_ppm` off.
    pub fn new(start: u64, raw_ppm: i64) -> Self {
        Self { since: 0, boot: start, raw: start, boot_ppm: raw_ppm, raw_ppm, stopped: false }
    }

    /// Both clocks at true time `at`.
    pub fn read(&self, at: u64) -> Reading {
        let span = if self.stopped { 0 } else { at.saturating_sub(self.since) };
        Reading {
            boot: Moment::from_nanos(self.boot + advance(span, self.boot_ppm)),
            raw: Moment::from_nanos(self.raw + advance(span, self.raw_ppm)),
        }
    }

    fn rebase(&mut self, at: u64) {
        let now = self.read(at);
        self.boot = now.boot.as_nanos();
        self.raw = now.raw.as_nanos();
        self.since = at;
    }

    /// Boot time is slewed against the oscillator from now on.
    pub fn slew(&mut self, at: u64, ppm: i64) {
        self.rebase(at);
        self.boot_ppm = self.raw_ppm + ppm;
    }

    /// Both clocks stand still.
    pub fn stop(&mut self, at: u64) {
        self.rebase(at);
        self.stopped = true;
    }

    /// They run again.
    pub fn run(&mut self, at: u64) {
        self.rebase(at);
        self.stopped = false;
    }

    /// A reboot: boot time begins anew; nobody compares moments across it.
    pub fn reboot(&mut self, at: u64) {
        self.rebase(at);
        self.stopped = false;
        self.boot = 5 * SEC;
        self.raw = 5 * SEC;
    }

    /// True time at which boot time reaches `target`, as the clocks run now.
    pub fn when_boot(&self, at: u64, target: Moment) -> u64 {
        let left = target.since(self.read(at).boot).as_nanos() as u64;
        at.saturating_add(stretch(left, self.boot_ppm))
    }

    /// True time at which the raw clock reaches `target`.
    pub fn when_raw(&self, at: u64, target: Moment) -> u64 {
        let left = target.since(self.read(at).raw).as_nanos() as u64;
        at.saturating_add(stretch(left, self.raw_ppm))
    }
}

fn stretch(left: u64, ppm: i64) -> u64 {
    if left > 1_000_000 * SEC {
        return left;
    }
    let rate = rate(ppm);
    if left < SHORT {
        return (left * MILLION).div_ceil(rate);
    }
    (u128::from(left) * u128::from(MILLION)).div_ceil(u128::from(rate)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_never_early() {
        let mut clock = NodeClock::new(1_000, 4_000);
        clock.slew(77, -100_000);
        for target in [5_000_u64, 123_456_789, 9 * SEC + 1] {
            let at = clock.when_boot(100, Moment::from_nanos(target));
            assert!(clock.read(at).boot.as_nanos() >= target && clock.read(at - 2).boot.as_nanos() <= target);
        }
        clock.stop(SEC);
        assert_eq!(clock.read(SEC), clock.read(9 * SEC));
    }
}
