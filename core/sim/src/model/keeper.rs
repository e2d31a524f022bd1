//! What one agent knows of the lease: a faithful copy of the folding in the store adapter (`tanist-dcs`, `lease/state.rs`), over this
//! simulator's typed values. The transactions are in `world::lease`.

mod failsafe;
mod known;

use super::{
    record::Record,
    store::{self, Kv, Snap, Value},
};
use std::{collections::BTreeSet, time::Duration};
use tanist_engine::{
    Attempt, Epoch, Held, HolderClock, MemberName, Moment, ObserverClock, Reading, Revision,
    failsafe::{Agreement, Naming},
};

/// How often a record that is over and not confirmed is looked at.
const OVER: Duration = Duration::from_millis(250);

/// The own lease.
#[derive(Clone, Debug)]
pub struct Mine {
    /// Revision of the record.
    pub revision: u64,
    /// What it says.
    pub record: Record,
    /// The fencing token.
    pub epoch: Epoch,
    /// Revision of the leader key.
    pub acquisition: u64,
}

#[derive(Clone, Debug)]
struct Recorded {
    revision: u64,
    record: Record,
    received: Reading,
}

impl Recorded {
    /// Another attempt's record of the same revision: the store was restored, and its revisions have caught up.
    fn contradicts(&self, shown: &Record, revision: u64) -> bool {
        let same = self.record.attempt == shown.attempt && self.record.nonce == shown.nonce && self.record.holder == shown.holder;
        revision == self.revision && !same
    }
}

#[derive(Clone, Debug)]
struct LastGood {
    holder: MemberName,
    epoch: Epoch,
    acquisition: u64,
    ttl: Duration,
}

/// What the guard's page says an earlier agent held.
#[derive(Clone, Copy, Debug)]
pub struct Adopted {
    /// Armed for this epoch.
    pub epoch: Epoch,
    /// Until then.
    pub until: Reading,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// This node.
    pub me: MemberName,
    /// The start nonce of its guard.
    pub nonce: u64,
    /// The ttl to write.
    pub ttl: Duration,
    /// The holder's clock.
    pub clock: HolderClock,
    /// An attempt is on its way.
    pub in_flight: bool,
    /// The own lease.
    pub mine: Option<Mine>,
    /// The leader key.
    pub leader: Option<Kv>,
    /// Revision and value of the base.
    pub base: (u64, Epoch),
    recorded: Option<Recorded>,
    /// How many revisions of the record this agent has seen.
    renewals_seen: u32,
    pub(crate) observer: ObserverClock,
    page: Option<Adopted>,
    last_good: Option<LastGood>,
    known: u64,
    /// What was known when the last attempt was sent.
    sent: u64,
    history: u64,
    /// Since the store went back the record has not been rewritten.
    stale: bool,
    /// The last record before that named others and not this node. Its holder may go on with them.
    kept_out: bool,
    /// Failsafe mode: whom the own records name.
    pub naming: Naming,
    /// The word this node has given.
    pub agreement: Option<Agreement>,
    /// The own rounds.
    rounds: Rounds,
    /// Revision that acquisitions compare which may still land, and their numbers.
    takes: (u64, BTreeSet<Attempt>),
    /// Rules that a mutant switches off.
    pub broken: Broken,
}

/// The rounds of failsafe mode that a holder has asked for.
#[derive(Clone, Debug, Default)]
struct Rounds {
    /// Number of the last.
    last: u64,
    /// It is under way.
    under_way: bool,
    /// When one was begun last.
    asked: Option<Moment>,
    /// When the last was begun that all agreed to.
    agreed: Option<Moment>,
    /// Who refused the last, and with which words.
    refused: Option<(MemberName, String)>,
}

/// Rules of the lease that a mutant switches off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broken {
    /// A record with our name is ours, whatever nonce or attempt it carries.
    pub any_record_of_mine: bool,
    /// Vacant as soon as the record is over, without a confirming read.
    pub unconfirmed: bool,
    /// A leader key of somebody else is overlooked.
    pub over_foreign_key: bool,
    /// Whoever has agreed to wait does not remember it.
    pub forgets_agreement: bool,
    /// Whoever is not named takes over all the same.
    pub takes_unnamed: bool,
    /// Only whom the next record names are asked.
    pub asks_next_only: bool,
    /// Vacant as long as the record has not been seen to change, in place of a full term.
    pub unknown_is_vacant: bool,
}

impl Keeper {
    /// Knows nothing yet.
    pub fn new(me: MemberName, nonce: u64, ttl: Duration, broken: Broken) -> Self {
        Self {
            me,
            nonce,
            ttl,
            clock: HolderClock::default(),
            in_flight: false,
            mine: None,
            leader: None,
            base: (0, Epoch::NONE),
            recorded: None,
            renewals_seen: 0,
            observer: ObserverClock::default(),
            page: None,
            last_good: None,
            known: 0,
            sent: 0,
            history: 0,
            stale: false,
            kept_out: false,
            naming: Naming::default(),
            agreement: None,
            rounds: Rounds::default(),
            takes: (0, BTreeSet::new()),
            broken,
        }
    }

    fn own(record: Record, revision: u64) -> Mine {
        Mine { revision, epoch: record.epoch_at(revision), acquisition: record.acquisition_at(revision), record }
    }

    /// The page of an earlier agent.
    pub fn adopt(&mut self, page: Adopted, now: Reading) {
        self.page = Some(page);
        if let Some(Recorded { revision, record, received }) = self.recorded.clone() {
            self.fold_record(revision, &record, received, now);
        }
    }

    /// What the mirror shows; `history` counts how often the store went back, `received` is the first receipt of the record.
    pub fn observe(&mut self, snap: &Snap, history: u64, received: Reading, now: Reading) {
        if history != self.history {
            self.history = history;
            self.forget(now);
        }
        self.fold(snap, received, now);
    }

    /// The store has another history.
    fn forget(&mut self, now: Reading) {
        self.kept_out = self.barred();
        self.known = 0;
        self.mine = None;
        self.recorded = None;
        self.clock = HolderClock::default();
        self.observer.forget(now, self.last_good.as_ref().map_or(Duration::ZERO, |good| good.ttl));
        self.stale = true;
        self.naming.unknown();
    }

    /// Takes in a consistent view of record, leader key and base.
    pub fn fold(&mut self, view: &Snap, received: Reading, now: Reading) {
        if view.revision < self.known {
            return;
        }
        self.known = view.revision;
        self.leader = view.get(store::LEADER).cloned();
        self.base = match view.get(store::BASE) {
            Some(kv) => (kv.revision, if let Value::Base(base) = &*kv.value { *base } else { Epoch::NONE }),
            None => (0, Epoch::NONE),
        };
        self.record_is(view.revision_of(store::LEASE));
        match view.record() {
            None => {
                self.recorded = None;
                self.observer.saw(Revision(0), received, self.longest_ttl());
                self.lose();
            }
            Some((record, revision)) => {
                let other = self.recorded.as_ref().is_some_and(|recorded| recorded.contradicts(record, revision));
                if other {
                    self.forget(now);
                    self.known = view.revision;
                }
                let received = if other { now } else { received };
                self.stale &= self.recorded.as_ref().is_none_or(|recorded| recorded.revision == revision);
                let known = self.recorded.take().filter(|recorded| recorded.revision == revision);
                self.renewals_seen += u32::from(known.is_none());
                let recorded = known.unwrap_or_else(|| Recorded { revision, record: record.clone(), received });
                self.fold_record(revision, &recorded.record, recorded.received, now);
                self.recorded = Some(recorded);
            }
        }
        let theirs = self.leader.as_ref().is_some_and(|leader| !self.is_me(leader));
        if theirs {
            self.lose();
        }
    }

    fn is_me(&self, leader: &Kv) -> bool {
        matches!(&*leader.value, Value::Leader(name) if *name == self.me)
    }

    fn fold_record(&mut self, revision: u64, record: &Record, received: Reading, now: Reading) {
        self.observer.saw(Revision(revision), received, record.ttl);
        let (epoch, acquisition) = (record.epoch_at(revision), record.acquisition_at(revision));
        self.last_good = Some(LastGood { holder: record.holder.clone(), epoch, acquisition, ttl: record.ttl });
        let same = record.nonce == self.nonce || self.broken.any_record_of_mine;
        if record.holder != self.me || !same || record.released {
            return self.lose();
        }
        let mine = Self::own(record.clone(), revision);
        if self.broken.any_record_of_mine && !self.landed(Attempt(record.attempt)) {
            self.clock.adopt(now.plus(record.ttl));
            self.mine = Some(mine);
            return;
        }
        let landed = self.landed(Attempt(record.attempt));
        if record.failsafe.is_none() {
            self.naming.unknown();
        }
        let held = self.mine.as_ref().map(|mine| mine.epoch);
        let adopted = self.page.filter(|page| page.epoch == mine.epoch);
        if held == Some(mine.epoch) || landed && (held.is_some() || self.clock.left(now) > Duration::ZERO) {
            self.mine = Some(mine);
        } else if let (None, Some(page)) = (held, adopted) {
            self.clock.adopt(page.until);
            self.page = None;
            self.mine = Some(mine);
        } else {
            self.lose();
        }
    }

    /// An attempt is about to be sent.
    pub fn begin(&mut self, now: Reading, ttl: Duration) -> Attempt {
        self.sent = self.known;
        self.clock.begin(now, ttl)
    }

    /// A write of ours landed below what was known when it was sent: it landed in a store that has gone back.
    fn landed_in_another(&mut self, revision: u64, now: Reading) -> bool {
        let other = revision <= self.sent;
        if other {
            self.forget(now);
        }
        other
    }

    /// The record that a transaction of ours wrote at `revision`, together with the leader key if `acquired`.
    pub fn wrote(&mut self, revision: u64, record: Record, acquired: Option<Kv>, now: Reading) -> Option<Held> {
        self.in_flight = false;
        if self.landed_in_another(revision, now) {
            return None;
        }
        if revision >= self.known {
            let landed = self.landed(Attempt(record.attempt));
            self.record_is(revision);
            self.known = revision;
            if let Some(leader) = acquired {
                self.leader = Some(leader);
            }
            self.stale = false;
            self.observer.wrote(Revision(revision), now, record.ttl);
            self.recorded = Some(Recorded { revision, record: record.clone(), received: now });
            self.mine = Some(Self::own(record, revision)).filter(|_| landed);
        }
        self.held(now)
    }

    /// A release that landed.
    pub fn gave_up(&mut self, revision: u64, record: Record, now: Reading) {
        if !self.landed_in_another(revision, now) && revision >= self.known {
            self.known = revision;
            self.leader = None;
            self.observer.wrote(Revision(revision), now, record.ttl);
            self.recorded = Some(Recorded { revision, record, received: now });
        }
        self.lose();
    }

    fn lose(&mut self) {
        if self.mine.take().is_some() || self.clock.until().is_some() {
            self.clock.lost();
            self.naming.name(None);
        }
    }

    fn landed(&mut self, attempt: Attempt) -> bool {
        self.naming.landed(attempt);
        self.clock.landed(attempt)
    }

    fn longest_ttl(&self) -> Duration {
        self.last_good.as_ref().map_or(self.ttl, |good| good.ttl.max(self.ttl))
    }
}
