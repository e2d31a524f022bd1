//! The lease as this keeper knows it: in the engine's words, and when that changes by itself.

use super::{Keeper, Mine, OVER, Recorded};
use crate::model::store::{self, Kv, Snap, Value};
use tanist_engine::{Epoch, Held, Lease, Moment, Reading, Revision, SyncState, Theirs};

impl Keeper {
    /// The own lease in the engine's words.
    pub fn held(&self, now: Reading) -> Option<Held> {
        let mine = self.mine.as_ref()?;
        Some(self.held_of(mine, self.sync_at_acquisition(mine), now))
    }

    fn held_of(&self, mine: &Mine, sync_at_acquisition: Option<SyncState>, now: Reading) -> Held {
        Held {
            epoch: mine.epoch,
            acquisition: Revision(mine.acquisition),
            until: self.clock.until_moment(now),
            renewed: self.clock.renewed().unwrap_or_default().boot,
            attempted: self.clock.attempted().unwrap_or_default().boot,
            in_flight: self.in_flight,
            sync_at_acquisition,
        }
    }

    fn sync_at_acquisition(&self, mine: &Mine) -> Option<SyncState> {
        mine.record.sync.as_ref().map(|sync| SyncState { revision: Revision(mine.acquisition), ..SyncState::clone(sync) })
    }

    /// The lease as the engine sees it, where it was last seen as `before`, of which is kept what cannot have changed.
    pub fn lease_after(&self, before: Lease, now: Reading) -> Lease {
        match (before, &self.mine) {
            (Lease::Mine(known), Some(mine)) if known.acquisition.0 == mine.acquisition && known.epoch == mine.epoch => {
                Lease::Mine(Held { sync_at_acquisition: known.sync_at_acquisition, ..self.held_of(mine, None, now) })
            }
            _ => self.lease(now),
        }
    }

    /// The own lease is as it was, to the moment.
    pub fn is_still(&self, known: &Held, now: Reading) -> bool {
        self.mine.as_ref().is_some_and(|mine| {
            let held = self.held_of(mine, None, now);
            (held.epoch, held.acquisition, held.until, held.renewed, held.attempted, held.in_flight)
                == (known.epoch, known.acquisition, known.until, known.renewed, known.attempted, known.in_flight)
        })
    }

    /// The end of the own lease on both clocks.
    pub fn until(&self) -> Option<Reading> {
        self.mine.as_ref().and(self.clock.until())
    }

    fn foreign_leader(&self) -> Option<&Kv> {
        self.leader.as_ref().filter(|_| !self.broken.over_foreign_key).filter(|leader| {
            !self.last_good.as_ref().is_some_and(|good| {
                matches!(&*leader.value, Value::Leader(name) if *name == good.holder) && leader.revision == good.acquisition
            })
        })
    }

    fn released(&self, now: Reading) -> bool {
        let trusted = self.observer.trusts_a_release(now, self.longest_ttl());
        let released = self.recorded.as_ref().is_some_and(|recorded| recorded.record.released);
        trusted && released && self.leader.is_none()
    }

    /// The lease as the engine sees it.
    pub fn lease(&self, now: Reading) -> Lease {
        if let Some(held) = self.held(now) {
            return Lease::Mine(held);
        }
        let Some(revision) = self.observer.revision() else { return Lease::Unknown };
        if let Some(leader) = self.foreign_leader() {
            let Value::Leader(holder) = &*leader.value else { return Lease::Unknown };
            return Lease::Theirs(Theirs {
                holder: holder.clone(),
                epoch: Epoch::of(self.base.1, Revision(leader.create)).unwrap_or_default(),
                vacant_at: Moment::MAX,
                twin: false,
            });
        }
        let released = self.released(now);
        let bound = self.bound(now);
        let since = match &self.recorded {
            _ if bound.is_some() => None,
            Some(recorded) if released => Some(recorded.received.boot),
            _ if self.broken.unconfirmed && self.observer.is_over(now) => Some(self.observer.over_at(now)),
            _ if self.broken.unknown_is_vacant && self.renewals_seen < 2 => Some(now.boot),
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
            Some(Recorded { revision, record, .. })
                if self.observer.over_for(now) <= self.ttl || bound.is_some_and(|bound| self.is_recorded(bound)) =>
            {
                Lease::Theirs(Theirs {
                    holder: record.holder.clone(),
                    epoch: record.epoch_at(*revision),
                    vacant_at: self.observer.over_at(now).max(bound.map_or(Moment::ZERO, |bound| bound.over_at(now))),
                    twin: record.holder == self.me && record.nonce != self.nonce,
                })
            }
            _ => Lease::Unknown,
        }
    }

    /// The record is over and nobody has confirmed it.
    pub fn wants_confirmation(&self, now: Reading) -> bool {
        self.mine.is_none()
            && self.bound(now).is_none()
            && self.foreign_leader().is_none()
            && !self.released(now)
            && self.observer.vacant_since().is_none()
            && self.observer.is_over(now)
    }

    /// When the lease will look different without any news.
    pub fn next_change(&self, now: Reading) -> Option<Moment> {
        let settled = self.mine.is_some() || self.released(now) || self.observer.vacant_since().is_some();
        let bound = self.bound(now).map(|bound| bound.over_at(now));
        if settled && bound.is_none() || self.observer.revision().is_none() {
            return None;
        }
        let over = self.observer.over_at(now).max(bound.unwrap_or_default());
        Some(if over > now.boot { over } else { now.boot + OVER })
    }

    /// Takes in the answer to a confirming read.
    pub fn confirm(&mut self, view: &Snap, asked: Reading, answered: Reading) {
        let revision = view.revision_of(store::LEASE);
        let fresh = view.revision >= self.known;
        self.fold(view, answered, answered);
        if fresh && self.mine.is_none() {
            self.observer.confirm(Revision(revision), asked, answered);
        }
    }
}
