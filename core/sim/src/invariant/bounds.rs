//! How soon all must be well again after the healing.
//!
//! *Exactly one primary* within ttl + 2 s. *Everything else* (each returned node follows, member keys are true, queues are drained) within
//! another `SETTLED`. Both count from the healing, or from the end of what the schedule made slow and had begun by then; each addition is
//! named where it is made: a boot, the first view of the store after it or after a cut, a recovery or its replay, a promotion, a shutdown,
//! a copy, a barrier, a back-off, a write of the lease that landed late.

use crate::{model::clock::SEC, world::World};

/// From one primary to everything: a standby that was cut off tries again within 2 s, one that does not stream is looked at again after
/// 2 ttl (`following`), an old primary is copied in up to 4 s, a call of a plugin that hangs takes 5 s and rests 3.2 s.
const SETTLED: u64 = 12 * SEC;

impl World {
    /// Something that the schedule made slow, and that has begun, ends then. What begins after the healing counts while one primary may
    /// still be awaited, and never for longer than three ttl: nobody may begin anew for ever.
    pub(crate) fn slowed(&mut self, what: &'static str, after: u64) {
        let (until, ttl) = (self.now + after, self.longest_ttl());
        let begun = !self.healed || self.now <= (self.from() + ttl + 2 * SEC).min(self.options.heal_at + 3 * ttl);
        if begun && until > self.checks.slow.1 {
            self.checks.slow = (what, until);
        }
    }

    fn from(&self) -> u64 {
        self.checks.slow.1.max(self.options.heal_at)
    }

    /// After every event of the second phase.
    pub(crate) fn check_bounds(&mut self) {
        let ttl = self.longest_ttl();
        match self.led() {
            Ok(()) => {
                let since = *self.checks.led_at.get_or_insert(self.now);
                self.coverage.slowest_lead = self.coverage.slowest_lead.max(since.saturating_sub(self.from()));
            }
            Err(why) => {
                self.checks.led_at = None;
                if self.now > self.from() + ttl + 2 * SEC {
                    return self.late(why);
                }
            }
        }
        if self.checks.well_at.is_some() {
            return;
        }
        match self.well(false) {
            Ok(()) => {
                self.checks.well_at = Some(self.now);
                self.coverage.slowest_heal = self.coverage.slowest_heal.max(self.now.saturating_sub(self.from()));
            }
            Err(why) if self.now > self.from() + 3 * ttl + 2 * SEC + SETTLED => self.late(why),
            Err(_) => {}
        }
    }

    fn late(&mut self, why: &'static str) {
        if self.checks.store_restored || self.excused() {
            return;
        }
        let (what, until) = self.checks.slow;
        let after = (self.now - self.options.heal_at) / 1_000_000;
        let slow = match until > self.options.heal_at {
            true => format!(", {what} ended {} ms after it", (until - self.options.heal_at) / 1_000_000),
            false => String::new(),
        };
        self.violate("liveness", format!("{why}, {after} ms after the healing{slow}"));
    }
}
