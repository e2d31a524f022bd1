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

/// A history of the store that was forgotten.
#[derive(Clone, Copy, Debug)]
struct Forgotten {
    /// Noticed then. Its last holder may not know yet.
    at: Reading,
    /// What that one may count with, from then at most.
    ttl: Duration,
}

/// The vacancy of the lease, as everybody but its holder counts it.
#[derive(Clone, Debug, Default)]
pub struct ObserverClock {
    seen: Option<Seen>,
    confirmed: Option<Reading>,
    /// What was asked up to then confirms nothing.
    unconfirmed: Option<Reading>,
    forgotten: Option<Forgotten>,
}

impl ObserverClock {
    /// A revision of the record was received then (zero: there is no record); its holder counts with `ttl`. A revision that is
    /// already known keeps the time of its first receipt.
    pub fn saw(&mut self, revision: Revision, received: Reading, ttl: Duration) {
        self.time(revision, received, ttl.max(self.owed(received)));
    }

    /// A write of this node's own, which is timed like any other, and knows of a history that is forgotten.
    pub fn wrote(&mut self, revision: Revision, now: Reading, ttl: Duration) {
        self.time(revision, now, ttl);
    }

    fn time(&mut self, revision: Revision, received: Reading, ttl: Duration) {
        if self.seen.is_some_and(|seen| seen.revision == revision) {
            return;
        }
        // A holder never writes a record that lets the others come earlier than the one before it did; one that says so is out of a
        // restored store, and the holder goes by what it wrote last.
        let promised = self.seen.map_or(Duration::ZERO, |seen| seen.patience.saturating_sub(received.least_since(seen.received)));
        self.seen = Some(Seen { revision, received, patience: observer_patience(ttl).max(promised) });
        self.confirmed = None;
    }

    /// The store has another history: no revision of it is the one that was timed. What a holder promised before still counts: until
    /// `ttl`, the one known last, has passed from now no lease is over sooner.
    pub fn forget(&mut self, now: Reading, ttl: Duration) {
        self.forgotten = Some(Forgotten { at: now, ttl: ttl.max(self.owed(now)) });
        self.confirmed = None;
        if let Some(seen) = &mut self.seen {
            seen.revision = Revision(u64::MAX);
        }
    }

    /// What whoever led in the forgotten history may still count with; zero when that has passed. That the record is rewritten says
    /// nothing, it may be a late write of that history.
    fn owed(&self, now: Reading) -> Duration {
        let recent = self.forgotten.filter(|forgotten| now.least_since(forgotten.at) < observer_patience(forgotten.ttl));
        recent.map_or(Duration::ZERO, |forgotten| forgotten.ttl)
    }

    /// When the store was seen to have gone back.
    pub fn went_back(&self) -> Option<Reading> {
        self.forgotten.map(|forgotten| forgotten.at)
    }

    /// A released record is vacant at once; not for a ttl after the store has gone back, where it is waited for like a silent leader's: a
    /// leader of the forgotten history may not know it yet. `ttl` is the longest that a holder may count with otherwise.
    pub fn trusts_a_release(&self, now: Reading, ttl: Duration) -> bool {
        self.forgotten.is_none_or(|forgotten| now.least_since(forgotten.at) >= observer_patience(ttl.max(forgotten.ttl)))
    }

    /// A vacancy that was confirmed counts no more, nor does one by a read that was asked before and is answered later: this node has
    /// agreed to wait, for a holder that may have renewed its record since.
    pub fn unconfirm(&mut self, now: Reading) {
        self.confirmed = None;
        self.unconfirmed = Some(now);
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
        let asked_since = self.unconfirmed.is_none_or(|then| asked.boot > then.boot && asked.raw > then.raw);
        let counts = self.revision() == Some(revision) && self.is_over(asked) && asked_since;
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
mod tests;
