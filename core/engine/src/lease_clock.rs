//! Timing of the lease record: when it ends for its holder, and when it is vacant for everybody else.
//!
//! The lease needs no clock in the store: everyone times the record for himself. The holder counts from *before* an attempt was
//! handed to the client and ends 1 % early, the others count from the *receipt* of a revision and wait 1 % longer, so a skew of
//! 1 % between two oscillators cannot make two leases overlap. Two clocks are read: boot time (runs in suspend, can be slewed) and
//! the raw hardware clock (cannot be slewed). The holder believes whichever ran further, the others whichever ran less.
//!
//! Deliberately absent: what the record says and how it is written (`tanist-dcs`), and any clock.

use crate::{Moment, Revision};
use std::{collections::VecDeque, time::Duration};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_BOOTTIME.
    pub boot: Moment,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: Moment,
}

impl Reading {
    /// Both clocks `span` later.
    pub fn plus(self, span: Duration) -> Self {
        Self { boot: self.boot + span, raw: self.raw + span }
    }

    /// The longer of the two times since `earlier`: for whoever must not hold on too long.
    pub fn most_since(self, earlier: Self) -> Duration {
        self.boot.since(earlier.boot).max(self.raw.since(earlier.raw))
    }

    /// The shorter of the two times since `earlier`: for whoever must not take too early.
    pub fn least_since(self, earlier: Self) -> Duration {
        self.boot.since(earlier.boot).min(self.raw.since(earlier.raw))
    }

    /// The shorter of the two times that are left until `deadline`; zero when either clock has reached it.
    pub fn left_until(self, deadline: Self) -> Duration {
        deadline.boot.since(self.boot).min(deadline.raw.since(self.raw))
    }
}

/// What a holder may count on: ttl − 1 %.
pub fn holder_term(ttl: Duration) -> Duration {
    ttl - ttl / 100
}

/// What the others wait: ttl + 1 %.
pub fn observer_patience(ttl: Duration) -> Duration {
    ttl + ttl / 100
}

/// The number of one attempt to write the lease record; never used twice by one start nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// An attempt whose fate is not known yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    attempt: Attempt,
    sent: Reading,
    term: Duration,
}

/// The end of the lease, as its holder counts it.
#[derive(Clone, Debug, Default)]
pub struct HolderClock {
    until: Option<Reading>,
    renewed: Option<Reading>,
    attempted: Option<Reading>,
    last: u64,
    open: VecDeque<Open>,
}

impl HolderClock {
    /// Attempts that are remembered while their fate is unknown. One that is pushed out no longer counts when it is read back.
    pub const REMEMBERED: usize = 64;

    /// Begins an attempt; call it before the request is handed to the client. Numbers follow boot time, so that they are new even
    /// after a restart of the agent under the same guard.
    pub fn begin(&mut self, now: Reading, ttl: Duration) -> Attempt {
        self.last = self.last.saturating_add(1).max(now.boot.as_nanos());
        let attempt = Attempt(self.last);
        if self.open.len() == Self::REMEMBERED {
            self.open.pop_front();
        }
        self.open.push_back(Open { attempt, sent: now, term: holder_term(ttl) });
        self.attempted = Some(now);
        attempt
    }

    /// The attempt is known to have landed: the lease counts from before its send. `false`: the attempt is not known, and the
    /// end of the lease stays as it was.
    #[must_use]
    pub fn landed(&mut self, attempt: Attempt) -> bool {
        let Some(found) = self.open.iter().copied().find(|open| open.attempt == attempt) else {
            return false;
        };
        // Kept in the list: the same record may be read back again, and counts the same then.
        self.open.retain(|open| open.attempt >= attempt);
        let end = found.sent.plus(found.term);
        self.until = Some(match self.until {
            Some(until) => Reading { boot: until.boot.max(end.boot), raw: until.raw.max(end.raw) },
            None => end,
        });
        self.renewed = Some(match self.renewed {
            Some(renewed) if renewed.boot > found.sent.boot => renewed,
            _ => found.sent,
        });
        true
    }

    /// The ttl that the next record says, and its holder counts with: as `wanted`, but never so short that the others would wait less than
    /// this holder already counts on. A ttl that was shortened takes effect as the lease runs down to it.
    pub fn ttl_to_write(&self, now: Reading, wanted: Duration) -> Duration {
        let Some(until) = self.until else { return wanted };
        let left = until.boot.since(now.boot).max(until.raw.since(now.raw));
        // Whole milliseconds, which is what a record says; rounded up.
        let said = Duration::from_millis(u64::try_from((left * 100 / 99).as_millis()).unwrap_or(u64::MAX).saturating_add(1));
        if left > holder_term(wanted) { said.max(wanted) } else { wanted }
    }

    /// Everybody who may take over has agreed to wait: the lease counts from before that round was sent. The record is as old as it was.
    pub fn sustained(&mut self, end: Reading) {
        self.until = self.until.map(|until| Reading { boot: until.boot.max(end.boot), raw: until.raw.max(end.raw) });
    }

    /// The attempt surely did not land.
    pub fn dropped(&mut self, attempt: Attempt) {
        self.open.retain(|open| open.attempt != attempt);
    }

    /// The lease of an earlier process of the same start nonce, as the guard's page has it.
    pub fn adopt(&mut self, until: Reading) {
        self.until = Some(until);
    }

    /// The lease is not ours any more. Numbers go on; an attempt still on its way may yet land and be read back.
    pub fn lost(&mut self) {
        self.until = None;
        self.renewed = None;
    }

    /// The end of the lease on both clocks; the first of the two counts.
    pub fn until(&self) -> Option<Reading> {
        self.until
    }

    /// What is left of the lease.
    pub fn left(&self, now: Reading) -> Duration {
        self.until.map_or(Duration::ZERO, |until| now.left_until(until))
    }

    /// The end of the lease as one moment of boot time: the boot deadline, or earlier when the raw clock will get there first.
    pub fn until_moment(&self, now: Reading) -> Moment {
        let Some(until) = self.until else { return Moment::ZERO };
        let by_raw =
            if until.raw > now.raw { now.boot + until.raw.since(now.raw) } else { now.boot.minus(now.raw.since(until.raw)) };
        until.boot.min(by_raw)
    }

    /// When the newest attempt that is known to have landed was sent.
    pub fn renewed(&self) -> Option<Reading> {
        self.renewed
    }

    /// When the newest attempt was sent, whatever became of it.
    pub fn attempted(&self) -> Option<Reading> {
        self.attempted
    }
}

/// What an observer has of the record.
#[derive(Clone, Copy, Debug)]
struct Seen {
    revision: Revision,
    received: Reading,
    patience: Duration,
}

/// The vacancy of the lease, as everybody but its holder counts it.
#[derive(Clone, Debug, Default)]
pub struct ObserverClock {
    seen: Option<Seen>,
    confirmed: Option<Reading>,
}

impl ObserverClock {
    /// A revision of the record was received then (zero: there is no record); its holder counts with `ttl`. A revision that is
    /// already known keeps the time of its first receipt.
    pub fn saw(&mut self, revision: Revision, received: Reading, ttl: Duration) {
        if self.seen.is_some_and(|seen| seen.revision == revision) {
            return;
        }
        // A holder never writes a record that lets the others come earlier than the one before it did; one that says so is out of a
        // restored store, and the holder goes by what it wrote last.
        let promised = self.seen.map_or(Duration::ZERO, |seen| seen.patience.saturating_sub(received.least_since(seen.received)));
        self.seen = Some(Seen { revision, received, patience: observer_patience(ttl).max(promised) });
        self.confirmed = None;
    }

    /// The store has another history: no revision of it is the one that was timed. What a holder promised before still counts.
    pub fn forget(&mut self) {
        self.confirmed = None;
        if let Some(seen) = &mut self.seen {
            seen.revision = Revision(u64::MAX);
        }
    }

    /// A vacancy that was confirmed counts no more: this node has agreed to wait.
    pub fn unconfirm(&mut self) {
        self.confirmed = None;
    }

    /// The revision that is being timed; `None`: the store has not answered yet.
    pub fn revision(&self) -> Option<Revision> {
        self.seen.map(|seen| seen.revision)
    }

    /// No newer revision for ttl + 1 %. Only together with a confirmation this means vacant.
    pub fn is_over(&self, now: Reading) -> bool {
        self.seen.is_some_and(|seen| now.least_since(seen.received) >= seen.patience)
    }

    /// How long ago the record was over; zero while it is not.
    pub fn over_for(&self, now: Reading) -> Duration {
        self.seen.map_or(Duration::ZERO, |seen| now.least_since(seen.received).saturating_sub(seen.patience))
    }

    /// When the record is over by this node's clocks, as a moment of boot time; never, while nothing was received.
    pub fn over_at(&self, now: Reading) -> Moment {
        let Some(seen) = self.seen else { return Moment::MAX };
        let elapsed = now.least_since(seen.received);
        match seen.patience.checked_sub(elapsed) {
            Some(left) => now.boot + left,
            None => now.boot.minus(elapsed - seen.patience),
        }
    }

    /// A linearizable read that was sent at `asked` returned this revision. Counts only when the record was over before the read
    /// was sent, and only for the revision being timed.
    pub fn confirm(&mut self, revision: Revision, asked: Reading, answered: Reading) -> bool {
        let counts = self.revision() == Some(revision) && self.is_over(asked);
        if counts && self.confirmed.is_none() {
            self.confirmed = Some(answered);
        }
        counts
    }

    /// When the vacancy was confirmed.
    pub fn vacant_since(&self) -> Option<Moment> {
        self.confirmed.map(|at| at.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn at(boot_ms: u64, raw_ms: u64) -> Reading {
        Reading { boot: Moment::from_nanos(boot_ms * 1_000_000), raw: Moment::from_nanos(raw_ms * 1_000_000) }
    }

    #[test]
    fn the_holder_counts_from_before_the_send_and_ends_early() {
        let mut clock = HolderClock::default();
        let attempt = clock.begin(at(1_000, 5_000), TTL);
        assert_eq!(clock.left(at(1_000, 5_000)), Duration::ZERO, "nothing is held before an attempt landed");
        assert!(clock.landed(attempt));
        assert_eq!(clock.left(at(1_000, 5_000)), Duration::from_millis(9_900));
        assert_eq!(clock.until_moment(at(1_000, 5_000)), at(10_900, 0).boot);
    }

    #[test]
    fn the_clock_that_ran_further_ends_the_holder() {
        let mut clock = HolderClock::default();
        let attempt = clock.begin(at(0, 0), TTL);
        assert!(clock.landed(attempt));
        assert_eq!(clock.left(at(5_000, 9_900)), Duration::ZERO, "boot time slewed slow must not lengthen the lease");
        assert_eq!(clock.left(at(9_900, 5_000)), Duration::ZERO);
        assert_eq!(clock.until_moment(at(5_000, 9_000)), at(5_900, 0).boot);
        assert!(clock.until_moment(at(5_000, 10_900)) < at(5_000, 0).boot, "past on one clock is past");
    }

    #[test]
    fn a_shorter_ttl_is_not_written_before_the_lease_has_run_down_to_it() {
        let mut clock = HolderClock::default();
        let short = Duration::from_secs(5);
        assert_eq!(clock.ttl_to_write(at(0, 0), short), short);
        let first = clock.begin(at(0, 0), TTL);
        assert!(clock.landed(first));
        for (now, boot, raw) in [(2_000, 2_000, 2_000), (4_800, 4_800, 4_800), (4_800, 4_800, 2_000)] {
            let left = 9_900 - raw.min(boot);
            let written = clock.ttl_to_write(at(boot, raw), short);
            assert!(holder_term(written) >= Duration::from_millis(left), "{now}: {written:?}");
            assert!(written <= TTL && written >= short);
            assert_eq!(written.subsec_nanos() % 1_000_000, 0, "a record says whole milliseconds");
        }
        assert_eq!(clock.ttl_to_write(at(5_000, 5_000), short), short);
        assert_eq!(clock.ttl_to_write(at(2_000, 2_000), TTL * 2), TTL * 2, "a longer one holds at once");
    }

    #[test]
    fn an_older_record_of_a_restored_store_does_not_shorten_what_was_promised() {
        let mut clock = ObserverClock::default();
        clock.saw(Revision(9), at(0, 0), TTL * 2);
        clock.forget();
        clock.saw(Revision(5), at(1_000, 1_000), TTL / 2);
        assert!(!clock.is_over(at(20_199, 20_199)), "the holder of revision 9 may still count on its ttl");
        assert!(clock.is_over(at(20_200, 20_200)));
        clock.saw(Revision(10), at(30_000, 30_000), TTL / 2);
        assert!(clock.is_over(at(35_050, 35_050)), "nothing is left of what is over");
    }

    #[test]
    fn a_lost_answer_extends_nothing_and_a_read_back_counts_from_its_own_send() {
        let mut clock = HolderClock::default();
        let first = clock.begin(at(0, 0), TTL);
        assert!(clock.landed(first));
        let second = clock.begin(at(2_000, 2_000), TTL);
        let third = clock.begin(at(4_000, 4_000), TTL);
        assert_eq!(clock.until(), Some(at(9_900, 9_900)), "attempts on their way count for nothing");
        assert!(clock.landed(second));
        assert_eq!(clock.until(), Some(at(11_900, 11_900)));
        clock.dropped(third);
        assert!(!clock.landed(third));
        assert!(!clock.landed(Attempt(77)), "the number of somebody else's attempt");
        assert_eq!(clock.until(), Some(at(11_900, 11_900)));
    }

    #[test]
    fn an_answer_that_arrives_late_never_shortens() {
        let mut clock = HolderClock::default();
        let first = clock.begin(at(0, 0), TTL);
        let second = clock.begin(at(2_000, 2_000), TTL);
        assert!(clock.landed(second));
        assert!(!clock.landed(first), "older than what is known to have landed");
        assert_eq!(clock.until(), Some(at(11_900, 11_900)));
    }

    #[test]
    fn numbers_are_new_after_a_restart_of_the_process() {
        let mut before = HolderClock::default();
        let old = before.begin(at(1_000, 0), TTL);
        let newer = before.begin(at(1_000, 0), TTL);
        let mut after = HolderClock::default();
        let new = after.begin(at(1_001, 0), TTL);
        assert!(old < newer && newer < new);
    }

    #[test]
    fn forgotten_attempts_are_bounded() {
        let mut clock = HolderClock::default();
        let first = clock.begin(at(0, 0), TTL);
        for turn in 1..=HolderClock::REMEMBERED as u64 {
            clock.begin(at(turn, turn), TTL);
        }
        assert!(!clock.landed(first));
        assert_eq!(clock.until(), None);
    }

    #[test]
    fn others_wait_longer_than_the_holder_counts_on_whatever_the_clocks_do() {
        let mut observer = ObserverClock::default();
        observer.saw(Revision(7), at(0, 0), TTL);
        assert!(!observer.is_over(at(10_099, 10_099)));
        assert!(!observer.is_over(at(20_000, 10_099)), "a clock slewed fast must not end somebody else's lease");
        assert!(!observer.is_over(at(10_099, 20_000)));
        assert!(observer.is_over(at(10_100, 10_100)));
        assert_eq!(observer.over_at(at(4_000, 4_000)), at(10_100, 0).boot);
        assert_eq!(observer.over_at(at(11_100, 11_100)), at(10_100, 0).boot);
    }

    #[test]
    fn the_same_revision_received_again_does_not_restart_the_clock_and_a_new_one_does() {
        let mut observer = ObserverClock::default();
        observer.saw(Revision(7), at(0, 0), TTL);
        observer.saw(Revision(7), at(9_000, 9_000), TTL);
        assert!(observer.is_over(at(10_100, 10_100)));
        observer.saw(Revision(8), at(10_100, 10_100), TTL);
        assert!(!observer.is_over(at(10_100, 10_100)));
    }

    #[test]
    fn a_confirmation_counts_only_for_a_read_sent_after_the_end_and_for_the_same_revision() {
        let mut observer = ObserverClock::default();
        observer.saw(Revision(7), at(0, 0), TTL);
        assert!(!observer.confirm(Revision(7), at(10_000, 10_000), at(10_200, 10_200)), "sent before the end");
        assert!(!observer.confirm(Revision(8), at(10_100, 10_100), at(10_200, 10_200)), "another revision");
        assert_eq!(observer.vacant_since(), None);
        assert!(observer.confirm(Revision(7), at(10_100, 10_100), at(10_200, 10_200)));
        assert_eq!(observer.vacant_since(), Some(at(10_200, 0).boot));
        observer.saw(Revision(8), at(10_300, 10_300), TTL);
        assert_eq!(observer.vacant_since(), None, "a newer revision takes the vacancy back");
    }

    #[test]
    fn nothing_received_is_never_over() {
        let observer = ObserverClock::default();
        assert!(!observer.is_over(at(u32::MAX.into(), u32::MAX.into())));
        assert_eq!(observer.over_at(at(0, 0)), Moment::MAX);
    }
}
