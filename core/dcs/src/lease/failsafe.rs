//! Failsafe mode over the lease: rounds of questions as a holder, and the word of a node that is asked. The rules are pure and lie in
//! `tanist_engine::failsafe`; here they meet what this node knows, under the one lock that acquisitions and renewals take as well.
//!
//! Deliberately absent: how questions travel, and when one is asked.

use super::{Keeper, Record, state::State, view::Recorded};
use std::{collections::BTreeSet, time::Duration};
use tanist_engine::{
    Attempt, Epoch, Failsafe, MemberName, Moment, Named, Reading, Revision,
    failsafe::{Agreement, Ask, Known, Naming, Refused, Round, agree},
};

/// What is remembered of the own rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    last: u64,
    asking: bool,
    asked: Option<Moment>,
    agreed: Option<Moment>,
    refused: Option<(MemberName, String)>,
}

/// Acquisitions of this node that may still land: all compare one revision of the record.
#[derive(Clone, Debug, Default)]
pub(super) struct Takes {
    over: Revision,
    open: BTreeSet<Attempt>,
}

impl Takes {
    /// The record has this revision now: an acquisition over another one fails, whenever it arrives.
    pub(super) fn record_is(&mut self, revision: Revision) {
        if revision != self.over {
            self.open.clear();
        }
    }
}

impl State {
    /// An acquisition over this record is about to be sent.
    pub(super) fn take_begun(&mut self, record: Revision, attempt: Attempt) {
        self.takes.record_is(record);
        self.takes.over = record;
        self.takes.open.insert(attempt);
    }

    /// It surely has not landed.
    pub(super) fn take_failed(&mut self, attempt: Attempt) {
        self.takes.open.remove(&attempt);
    }

    /// The agreement that binds this node now. What its holder gave up by itself binds nobody, nor does one whose leadership another
    /// has followed.
    pub(super) fn bound(&self, now: Reading) -> Option<&Agreement> {
        let bound = self.agreement.as_ref().filter(|bound| bound.binds(now))?;
        let over = self.record().is_some_and(|(record, epoch)| {
            let released = record.released && self.leader.is_none() && bound.is_for(&record.holder, record.nonce, epoch);
            released || epoch > bound.epoch()
        });
        (!over).then_some(bound)
    }

    /// The record in the store is that of the leadership this node has agreed to wait for.
    pub(super) fn is_recorded(&self, bound: &Agreement) -> bool {
        self.record().is_some_and(|(record, epoch)| *bound.holder() == record.holder && bound.epoch() == epoch)
    }

    fn record(&self) -> Option<(&Record, Epoch)> {
        match &self.recorded {
            Some(Recorded { revision, content: Ok(record), .. }) => Some((record, record.epoch_at(*revision)?)),
            _ => None,
        }
    }

    /// The last record names others and not this node, or another address under this node's name; or did before the store went back, and
    /// nobody has written one since.
    pub(super) fn barred(&self) -> bool {
        let named = self.record().and_then(|(record, _)| record.failsafe.as_ref());
        self.stale && self.kept_out || named.is_some_and(|named| named.get(&self.me) != Some(&self.url))
    }

    fn agree(&mut self, ask: &Ask, mut known: Known, now: Reading) -> Result<Agreement, Refused> {
        known.primary |= self.held(now).is_some();
        known.taking |= !self.takes.open.is_empty();
        known.highest = known.highest.max(self.last_good.as_ref().map_or(Epoch::NONE, |good| good.epoch));
        known.record = self.record().map(|(record, epoch)| (record.holder.clone(), record.nonce, epoch));
        known.went_back |= self.observer.went_back().is_some();
        known.stale |= self.stale;
        let agreement = agree(ask, &known, self.agreement.as_ref(), now)?;
        self.agreement = Some(agreement.clone());
        self.observer.unconfirm(now);
        Ok(agreement)
    }

    /// The epoch and the end of what is held: by the record, or by the guard's page while the store was not read.
    fn held_until(&self, epoch: Epoch) -> Option<Reading> {
        match (&self.mine, self.page) {
            (Some(mine), _) if mine.epoch == epoch => self.clock.until(),
            (None, Some(page)) if page.epoch == epoch && self.recorded.is_none() => Some(page.until),
            _ => None,
        }
    }

    fn round(&mut self, epoch: Epoch, now: Reading) -> Option<Round> {
        let until = self.held_until(epoch)?;
        let voters = self.naming.voters(&self.me)?;
        if self.rounds.asking || now.left_until(until).is_zero() {
            return None;
        }
        // New also after a restart, as the numbers of attempts are.
        self.rounds.last = self.rounds.last.saturating_add(1).max(now.boot.as_nanos());
        (self.rounds.asking, self.rounds.asked) = (true, Some(now.boot));
        let ask =
            Ask { holder: self.me.clone(), epoch, nonce: self.nonce, ttl: self.naming.ttl(self.ttl), round: self.rounds.last };
        Some(Round { ask, sent: now, voters })
    }

    /// All have agreed. A lease that is over is not revived.
    fn sustain(&mut self, round: &Round, now: Reading) -> Option<Reading> {
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

    fn failsafe(&self, now: Reading) -> Failsafe {
        // A record of that leadership that came later binds as long by itself: the holder reaches the store again.
        let newer = |bound: &Agreement| {
            let received = self.recorded.as_ref().map(|recorded| recorded.received);
            self.is_recorded(bound) && received.is_some_and(|received| received.boot > bound.received().boot)
        };
        let bound = self.bound(now).filter(|bound| !newer(bound));
        let waits = bound.map(|bound| (bound.holder().clone(), bound.epoch(), bound.over_at(now)));
        let Rounds { last: _, asking, asked, agreed, refused } = self.rounds.clone();
        Failsafe {
            named: self.naming.next().cloned(),
            tidy: true,
            voters: self.naming.voters(&self.me).map(|voters| voters.into_iter().map(|(name, _)| name).collect()),
            asking,
            asked,
            agreed,
            refused,
            waits,
            barred: self.mine.is_none() && self.barred(),
        }
    }
}

impl Keeper {
    /// This node's REST API answers there, as its member key says.
    pub fn answer_at(&self, url: String) {
        self.state().url = url;
    }

    /// A restarted agent: everybody whom a record of this guard's start and of the epoch that its page is armed for may name, and the
    /// shortest ttl that it may say.
    pub fn adopt_named(&self, every: BTreeSet<(MemberName, String)>, shortest: Duration) {
        self.state().naming = Naming::kept(every, shortest);
    }

    /// The next records name these; `None`: anybody may take over.
    pub fn name(&self, members: Option<Named>) {
        self.state().naming.name(members);
    }

    /// Everybody whom a record that may be in the store names; `None`: anybody may take over, or that is not known.
    pub fn named(&self) -> Option<BTreeSet<(MemberName, String)>> {
        self.state().naming.every().cloned()
    }

    /// The epoch of the own lease, and the start nonce it is held under.
    pub fn held_epoch(&self) -> Option<(Epoch, u64)> {
        let state = self.state();
        state.mine.as_ref().map(|mine| (mine.epoch, state.nonce))
    }

    /// The shortest ttl that a record which may be in the store says.
    pub fn recorded_ttl(&self) -> Duration {
        let state = self.state();
        state.naming.ttl(state.ttl)
    }

    /// Failsafe mode as the engine sees it. Whether what is kept on the disk is right is not known here.
    pub fn failsafe(&self, now: Reading) -> Failsafe {
        self.state().failsafe(now)
    }

    /// Begins a round under this epoch. Ask after this, not before: the lease will count from here.
    pub fn begin_round(&self, epoch: Epoch) -> Option<Round> {
        let now = self.clock.now();
        self.state().round(epoch, now)
    }

    /// The round has ended, `Ok`: everybody has agreed. Returns the end of the lease where it was extended.
    pub fn end_round(&self, round: &Round, outcome: Result<(), (MemberName, String)>) -> Option<Reading> {
        let now = self.clock.now();
        let mut state = self.state();
        state.rounds.asking = false;
        state.rounds.refused = outcome.as_ref().err().cloned();
        outcome.ok().and_then(|()| state.sustain(round, now))
    }

    /// This node is asked to wait. The clock is read here, after the question has arrived. Needs nothing of the store.
    pub fn agree(&self, ask: &Ask, known: Known) -> Result<Agreement, Refused> {
        let now = self.clock.now();
        self.state().agree(ask, known, now)
    }

    /// The last lease record names its members: failsafe mode is on by it.
    pub fn is_failsafe_on_record(&self) -> bool {
        let state = self.state();
        matches!(&state.recorded, Some(Recorded { content: Ok(record), .. }) if record.failsafe.is_some())
    }
}
