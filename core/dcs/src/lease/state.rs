//! What one node knows of the lease, folded from every answer and every snapshot. No I/O, no clock.
//!
//! Facts come with the store's revision; whatever is older than what is known is ignored, so that a lagging watch cannot undo an answer.

use super::{
    Adopted, Record, RecordError, decode_base,
    failsafe::{Rounds, Takes},
    view::{Base, Recorded, View},
};
use crate::{KeyValue, Keys, Snapshot};
use std::time::Duration;
use tanist_engine::{
    Attempt, Epoch, Held, HolderClock, Lease, MemberName, Moment, ObserverClock, Reading, Revision, SyncState, Theirs,
    failsafe::{Agreement, Naming},
};

/// How often a record that is over and not confirmed is looked at.
const OVER: Duration = Duration::from_millis(250);

/// The own lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mine {
    /// Revision of the record.
    pub revision: Revision,
    /// What it says.
    pub record: Record,
    /// The fencing token.
    pub epoch: Epoch,
    /// Revision of the leader key.
    pub acquisition: Revision,
}

impl Mine {
    fn of(record: Record, revision: Revision) -> Option<Self> {
        let epoch = record.epoch_at(revision)?;
        Some(Self { revision, epoch, acquisition: record.acquisition_at(revision), record })
    }
}

/// The last record that could be read.
#[derive(Clone, Debug)]
pub(super) struct LastGood {
    holder: MemberName,
    pub epoch: Epoch,
    acquisition: Revision,
    pub ttl: Duration,
}

/// See the module.
pub(super) struct State {
    pub keys: Keys,
    pub me: MemberName,
    pub nonce: u64,
    pub ttl: Duration,
    pub clock: HolderClock,
    pub in_flight: bool,
    /// When the last call began that acquires, renews or releases. It may make several attempts; the next is due from its beginning.
    pub called: Option<Reading>,
    pub mine: Option<Mine>,
    pub recorded: Option<Recorded>,
    pub leader: Option<KeyValue>,
    pub base: Base,
    pub observer: ObserverClock,
    pub page: Option<Adopted>,
    pub last_good: Option<LastGood>,
    pub known: Revision,
    /// What was known when the last attempt was sent.
    pub sent: Revision,
    history: u64,
    /// Since the store went back the record has not been rewritten.
    pub stale: bool,
    /// The last record before that named others and not this node. Its holder may go on with them.
    pub kept_out: bool,
    /// Failsafe mode, as a holder and as one that is asked.
    pub naming: Naming,
    pub rounds: Rounds,
    pub agreement: Option<Agreement>,
    pub takes: Takes,
    /// When a Patroni was last seen among the members.
    pub patroni_seen: Option<Reading>,
    /// The own REST API's address, as the member key has it.
    pub url: String,
}

impl State {
    pub(super) fn new(keys: Keys, me: MemberName, nonce: u64, ttl: Duration) -> Self {
        Self {
            keys,
            me,
            nonce,
            ttl,
            clock: HolderClock::default(),
            in_flight: false,
            called: None,
            mine: None,
            recorded: None,
            leader: None,
            base: Base::default(),
            observer: ObserverClock::default(),
            page: None,
            last_good: None,
            known: Revision(0),
            sent: Revision(0),
            history: 0,
            stale: false,
            kept_out: false,
            naming: Naming::default(),
            rounds: Rounds::default(),
            agreement: None,
            takes: Takes::default(),
            patroni_seen: None,
            url: String::new(),
        }
    }

    pub(super) fn adopt(&mut self, page: Adopted, now: Reading) {
        self.page = Some(page);
        // The record may have been seen before the page was: look at it again.
        if let Some(Recorded { revision, content: Ok(record), received }) = self.recorded.clone() {
            self.fold_record(revision, &record, received, now);
        }
    }

    pub(super) fn observe(&mut self, snapshot: &Snapshot, now: Reading) {
        if snapshot.as_of.is_none() {
            return;
        }
        if snapshot.history != self.history {
            self.history = snapshot.history;
            self.forget(now);
        }
        let record = snapshot.get(&self.keys.lease());
        let view = View {
            revision: snapshot.revision,
            record: record.map(|seen| seen.kv.clone()),
            leader: snapshot.get(&self.keys.leader()).map(|seen| seen.kv.clone()),
            base: snapshot.get(&self.keys.epoch()).map(|seen| seen.kv.clone()),
        };
        let received = record.map_or(now, |seen| seen.received);
        self.fold(view, received, now);
    }

    /// Takes in a consistent view of the three keys. The record was received then; now may be later.
    pub(super) fn fold(&mut self, view: View, received: Reading, now: Reading) {
        if view.revision < self.known {
            return;
        }
        self.known = view.revision;
        self.leader = view.leader;
        self.base = Base {
            revision: view.base.as_ref().map_or(Revision(0), |kv| kv.mod_revision),
            value: decode_base(view.base.as_ref().map(|kv| kv.value.as_slice())),
        };
        self.takes.record_is(view.record.as_ref().map_or(Revision(0), |kv| kv.mod_revision));
        match view.record {
            None => {
                self.recorded = None;
                self.observer.saw(Revision(0), received, self.longest_ttl());
                self.lose();
            }
            Some(kv) => {
                let revision = kv.mod_revision;
                let other = self.recorded.as_ref().is_some_and(|recorded| recorded.contradicts(&kv));
                if other {
                    self.forget(now);
                    self.known = view.revision;
                }
                // Whoever received it may have taken it for the one before.
                let received = if other { now } else { received };
                self.stale &= self.recorded.as_ref().is_none_or(|recorded| recorded.revision == revision);
                let known = self.recorded.take().filter(|recorded| recorded.revision == revision);
                let recorded = known.unwrap_or_else(|| Recorded { revision, content: Record::decode(&kv.value), received });
                match &recorded.content {
                    Ok(record) => self.fold_record(revision, record, recorded.received, now),
                    Err(_) => {
                        self.observer.saw(revision, recorded.received, self.longest_ttl());
                        self.lose();
                    }
                }
                self.recorded = Some(recorded);
            }
        }
        let theirs = self.leader.as_ref().is_some_and(|leader| leader.value != self.me.0.as_bytes());
        if theirs {
            self.lose();
        }
    }

    fn fold_record(&mut self, revision: Revision, record: &Record, received: Reading, now: Reading) {
        self.observer.saw(revision, received, record.ttl);
        let Some(mine) = Mine::of(record.clone(), revision) else { return self.lose() };
        self.last_good =
            Some(LastGood { holder: record.holder.clone(), epoch: mine.epoch, acquisition: mine.acquisition, ttl: record.ttl });
        if record.holder != self.me || record.nonce != self.nonce || record.released {
            return self.lose();
        }
        let landed = self.landed(Attempt(record.attempt));
        // An operator has taken the names out: anybody may take over.
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
    pub(super) fn begin(&mut self, now: Reading, ttl: Duration) -> Attempt {
        self.sent = self.known;
        self.clock.begin(now, ttl)
    }

    /// The record that a transaction of ours wrote at `revision`, together with the leader key if `acquired`.
    pub(super) fn wrote(&mut self, revision: Revision, record: Record, acquired: Option<KeyValue>, now: Reading) -> Option<Held> {
        self.in_flight = false;
        if self.landed_in_another(revision, now) {
            return None;
        }
        if revision >= self.known {
            let landed = self.landed(Attempt(record.attempt));
            self.takes.record_is(revision);
            self.known = revision;
            if let Some(leader) = acquired {
                self.leader = Some(leader);
            }
            self.stale = false;
            self.observer.wrote(revision, now, record.ttl);
            self.recorded = Some(Recorded { revision, content: Ok(record.clone()), received: now });
            self.mine = Mine::of(record, revision).filter(|_| landed);
        }
        // Otherwise the watch was faster than the answer, and may already have shown what came after.
        self.held(now)
    }

    /// A release that landed.
    pub(super) fn gave_up(&mut self, revision: Revision, record: Record, now: Reading) {
        if !self.landed_in_another(revision, now) && revision >= self.known {
            self.known = revision;
            self.leader = None;
            self.observer.wrote(revision, now, record.ttl);
            self.recorded = Some(Recorded { revision, content: Ok(record), received: now });
        }
        self.lose();
    }

    fn landed(&mut self, attempt: Attempt) -> bool {
        self.naming.landed(attempt);
        self.clock.landed(attempt)
    }

    fn lose(&mut self) {
        if self.mine.take().is_some() || self.clock.until().is_some() {
            self.clock.lost();
            self.naming.name(None);
        }
    }

    /// What the holder of a record nobody can read may count with.
    fn longest_ttl(&self) -> Duration {
        self.last_good.as_ref().map_or(self.ttl, |good| good.ttl.max(self.ttl))
    }

    pub(super) fn held(&self, now: Reading) -> Option<Held> {
        let mine = self.mine.as_ref()?;
        Some(Held {
            epoch: mine.epoch,
            acquisition: mine.acquisition,
            until: self.clock.until_moment(now),
            renewed: self.clock.renewed().unwrap_or_default().boot,
            attempted: self.called.or(self.clock.attempted()).unwrap_or_default().boot,
            in_flight: self.in_flight,
            sync_at_acquisition: mine.record.sync.clone().map(|sync| SyncState { revision: mine.acquisition, ..sync }),
        })
    }

    pub(super) fn until(&self) -> Option<Reading> {
        self.mine.as_ref().and(self.clock.until())
    }

    /// The leader key, when it is the one of the acquisition that is held.
    pub(super) fn own_leader(&self) -> Option<&KeyValue> {
        let mine = self.mine.as_ref()?;
        self.leader.as_ref().filter(|leader| leader.mod_revision == mine.acquisition)
    }

    /// The leader key, when it is neither absent nor the one that the record's holder wrote: a Patroni's, or put by hand.
    fn foreign_leader(&self) -> Option<&KeyValue> {
        self.leader.as_ref().filter(|leader| {
            !self
                .last_good
                .as_ref()
                .is_some_and(|good| leader.value == good.holder.0.as_bytes() && leader.mod_revision == good.acquisition)
        })
    }

    fn released(&self, now: Reading) -> bool {
        let trusted = self.observer.trusts_a_release(now, self.longest_ttl());
        let released = self.recorded.as_ref().is_some_and(|recorded| matches!(&recorded.content, Ok(record) if record.released));
        trusted && released && self.leader.is_none()
    }

    pub(super) fn lease(&self, now: Reading) -> Lease {
        if let Some(held) = self.held(now) {
            return Lease::Mine(held);
        }
        let Some(revision) = self.observer.revision() else { return Lease::Unknown };
        if let Some(leader) = self.foreign_leader() {
            let base = self.base.value.clone().unwrap_or_default();
            return Lease::Theirs(Theirs {
                holder: MemberName(String::from_utf8_lossy(&leader.value).into_owned().into()),
                epoch: Epoch::of(base, leader.create_revision).unwrap_or_default(),
                vacant_at: Moment::MAX,
                twin: false,
            });
        }
        let released = self.released(now);
        let bound = self.bound(now);
        let since = match &self.recorded {
            _ if bound.is_some() => None,
            Some(recorded) if released => Some(recorded.received.boot),
            _ => self.observer.vacant_since(),
        };
        if let Some(since) = since {
            return Lease::Vacant {
                since,
                record: revision,
                last_holder: self.last_good.as_ref().map(|good| good.holder.clone()),
                last_epoch: self.last_good.as_ref().map_or(Epoch::NONE, |good| good.epoch),
                released,
            };
        }
        match &self.recorded {
            Some(Recorded { revision, content: Ok(record), .. })
                if self.observer.over_for(now) <= self.ttl || bound.is_some_and(|bound| self.is_recorded(bound)) =>
            {
                Lease::Theirs(Theirs {
                    holder: record.holder.clone(),
                    epoch: record.epoch_at(*revision).unwrap_or_default(),
                    vacant_at: self.observer.over_at(now).max(bound.map_or(Moment::ZERO, |bound| bound.over_at(now))),
                    twin: record.holder == self.me && record.nonce != self.nonce,
                })
            }
            _ => Lease::Unknown,
        }
    }

    pub(super) fn wants_confirmation(&self, now: Reading) -> bool {
        self.mine.is_none()
            && self.bound(now).is_none()
            && self.foreign_leader().is_none()
            && !self.released(now)
            && self.observer.vacant_since().is_none()
            && self.observer.is_over(now)
    }

    pub(super) fn next_change(&self, now: Reading) -> Option<Moment> {
        let settled = self.mine.is_some() || self.released(now) || self.observer.vacant_since().is_some();
        if settled && self.bound(now).is_none() || self.observer.revision().is_none() {
            return None;
        }
        let bound = self.bound(now).map_or(Moment::ZERO, |bound| bound.over_at(now));
        let over = self.observer.over_at(now).max(bound);
        Some(if over > now.boot { over } else { now.boot + OVER })
    }

    /// Takes in the answer to a confirming read.
    pub(super) fn confirm(&mut self, view: View, asked: Reading, answered: Reading) -> bool {
        let revision = view.record.as_ref().map_or(Revision(0), |kv| kv.mod_revision);
        let fresh = view.revision >= self.known;
        self.fold(view, answered, answered);
        fresh && self.mine.is_none() && self.observer.confirm(revision, asked, answered) && self.foreign_leader().is_none()
    }

    pub(super) fn trouble(&self) -> Option<RecordError> {
        let record = self.recorded.as_ref().and_then(|recorded| recorded.content.clone().err());
        record.or_else(|| self.base.value.clone().err())
    }
}
