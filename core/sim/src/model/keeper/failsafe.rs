//! Failsafe mode in what one agent knows of the lease: a faithful copy of the store adapter's (`tanist-dcs`, `lease/failsafe.rs`).

use super::{Keeper, Recorded, Rounds};
use std::time::Duration;
use tanist_engine::{
    Attempt, Epoch, Failsafe, MemberName, Moment, Reading,
    failsafe::{Agreement, Ask, Known, Refused, Round, agree},
};

impl Keeper {
    pub(super) fn record_is(&mut self, revision: u64) {
        if revision != self.takes.0 {
            self.takes.1.clear();
        }
    }

    /// An acquisition over this record is about to be sent.
    pub fn take_begun(&mut self, record: u64, attempt: Attempt) {
        self.record_is(record);
        self.takes.0 = record;
        self.takes.1.insert(attempt);
    }

    /// It surely has not landed.
    pub fn take_failed(&mut self, attempt: Attempt) {
        self.takes.1.remove(&attempt);
    }

    pub(super) fn bound(&self, now: Reading) -> Option<&Agreement> {
        let bound = self.agreement.as_ref().filter(|bound| bound.binds(now))?;
        let over = self.recorded.as_ref().is_some_and(|Recorded { revision, record, .. }| {
            let epoch = record.epoch_at(*revision);
            let released = record.released && self.leader.is_none() && bound.is_for(&record.holder, record.nonce, epoch);
            released || epoch > bound.epoch()
        });
        (!over).then_some(bound)
    }

    pub(super) fn is_recorded(&self, bound: &Agreement) -> bool {
        self.recorded.as_ref().is_some_and(|Recorded { revision, record, .. }| {
            *bound.holder() == record.holder && bound.epoch() == record.epoch_at(*revision)
        })
    }

    /// A record of that leadership that came later binds as long by itself.
    fn newer(&self, bound: &Agreement) -> bool {
        let received = self.recorded.as_ref().map(|recorded| recorded.received);
        self.is_recorded(bound) && received.is_some_and(|received| received.boot > bound.received().boot)
    }

    /// The last record names others and not this node; or did before the store went back, and nobody has written one since.
    pub fn barred(&self) -> bool {
        let named = self.recorded.as_ref().and_then(|recorded| recorded.record.failsafe.as_ref());
        let kept_out = self.stale && self.kept_out;
        !self.broken.takes_unnamed && (kept_out || named.is_some_and(|named| !named.contains_key(&self.me)))
    }

    /// This node is asked to wait.
    pub fn agree(&mut self, ask: &Ask, mut known: Known, now: Reading) -> Result<(), Refused> {
        known.primary |= self.mine.is_some();
        known.taking |= !self.takes.1.is_empty();
        known.highest = known.highest.max(self.last_good.as_ref().map_or(Epoch::NONE, |good| good.epoch));
        known.record = self
            .recorded
            .as_ref()
            .map(|Recorded { revision, record, .. }| (record.holder.clone(), record.nonce, record.epoch_at(*revision)));
        known.went_back |= self.observer.went_back().is_some();
        known.stale |= self.stale;
        let agreement = agree(ask, &known, self.agreement.as_ref(), now)?;
        if !self.broken.forgets_agreement {
            self.agreement = Some(agreement);
            self.observer.unconfirm(now);
        }
        Ok(())
    }

    fn held_until(&self, epoch: Epoch) -> Option<Reading> {
        match (&self.mine, self.page) {
            (Some(mine), _) if mine.epoch == epoch => self.clock.until(),
            (None, Some(page)) if page.epoch == epoch && self.recorded.is_none() => Some(page.until),
            _ => None,
        }
    }

    /// Begins a round.
    pub fn round(&mut self, epoch: Epoch, now: Reading) -> Option<Round> {
        let until = self.held_until(epoch)?;
        let mut voters = self.naming.voters(&self.me)?;
        if self.broken.asks_next_only {
            voters = self.naming.next().into_iter().flatten().map(|(name, url)| (name.clone(), url.clone())).collect();
            voters.retain(|(name, _)| *name != self.me);
        }
        if self.rounds.under_way || now.left_until(until).is_zero() {
            return None;
        }
        self.rounds.last = self.rounds.last.saturating_add(1).max(now.boot.as_nanos());
        (self.rounds.under_way, self.rounds.asked) = (true, Some(now.boot));
        let ask =
            Ask { holder: self.me.clone(), epoch, nonce: self.nonce, ttl: self.naming.ttl(self.ttl), round: self.rounds.last };
        Some(Round { ask, sent: now, voters })
    }

    /// It has ended: the end of the lease where it was extended.
    pub fn end_round(&mut self, round: &Round, outcome: Result<(), (MemberName, String)>, now: Reading) -> Option<Reading> {
        self.rounds.under_way = false;
        self.rounds.refused = outcome.as_ref().err().cloned();
        outcome.ok()?;
        let until = self.held_until(round.ask.epoch)?;
        if now.left_until(until).is_zero() {
            return None;
        }
        self.rounds.agreed = Some(round.sent.boot);
        if self.mine.is_some() {
            self.clock.sustained(round.end(&self.naming));
            return self.clock.until();
        }
        let end = round.end(&self.naming);
        let page = self.page.as_mut()?;
        page.until = Reading { boot: page.until.boot.max(end.boot), raw: page.until.raw.max(end.raw) };
        Some(page.until)
    }

    /// The holder for whom this node has agreed to wait, and until when.
    fn waits(&self, now: Reading) -> Option<(MemberName, Epoch, Moment)> {
        let bound = self.bound(now).filter(|bound| !self.newer(bound))?;
        Some((bound.holder().clone(), bound.epoch(), bound.over_at(now)))
    }

    fn is_barred(&self) -> bool {
        self.mine.is_none() && self.barred()
    }

    /// It may not take the lease, or could not so long ago: it has agreed to wait for its holder, or was not named by it.
    pub fn holds_off(&self, now: Reading, ago: Duration) -> bool {
        let then = Reading { boot: now.boot.minus(ago), raw: now.raw.minus(ago) };
        self.is_barred() || self.waits(now).is_some() || self.agreement.as_ref().is_some_and(|bound| bound.binds(then))
    }

    /// Brings what the engine sees of it up to date. `true`: it is not as before.
    pub fn see_failsafe(&self, now: Reading, tidy: bool, seen: &mut Failsafe) -> bool {
        let named = self.naming.next();
        let mut changed = seen.named.as_ref() != named;
        if changed {
            seen.named = named.cloned();
        }
        let voters = self.naming.every().map(|every| every.iter().map(|(name, _)| name).filter(|name| **name != self.me));
        let same = match (&seen.voters, voters.clone()) {
            (Some(known), Some(voters)) => known.iter().eq(voters),
            (known, voters) => known.is_none() && voters.is_none(),
        };
        if !same {
            let voters = voters.map(|voters| voters.cloned().collect());
            changed |= seen.voters != voters;
            seen.voters = voters;
        }
        let Rounds { under_way: asking, asked, agreed, refused, .. } = &self.rounds;
        if seen.refused != *refused {
            seen.refused.clone_from(refused);
            changed = true;
        }
        let (waits, barred) = (self.waits(now), self.is_barred());
        changed |= (seen.tidy, seen.asking, seen.asked, seen.agreed, seen.barred) != (tidy, *asking, *asked, *agreed, barred)
            || seen.waits != waits;
        (seen.tidy, seen.asking, seen.asked, seen.agreed, seen.barred) = (tidy, *asking, *asked, *agreed, barred);
        seen.waits = waits;
        changed
    }
}
