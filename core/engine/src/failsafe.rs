//! Failsafe mode, its pure part: how a lease is extended while the store is away, and what those are bound to who agree.
//!
//! The lease record names everybody who may take over from its holder ([`Named`]). A holder that cannot renew asks every one of them
//! to wait ([`Ask`]); whoever agrees takes no lease before ttl + 1 % after the *receipt* of the question ([`Agreement`]); when all
//! have agreed, the lease counts from before the *send* of the round. A take-over compares the record's revision, so nobody who was not
//! asked can be the one: [`Naming`] adds up the names in every record that may be in the store. Why this is enough, and what it does
//! not cover: `docs/decisions/2026-11-28-failsafe-mode.md`.
//!
//! Deliberately absent: how a question travels, and when one is asked (`decide::failsafe`).

use crate::{Attempt, Epoch, MemberName, Moment, Promised, Reading, holder_term, observer_patience};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Who may take over, and the address of each one's REST API: whoever answers there is whoever may take over.
pub type Named = BTreeMap<MemberName, String>;

/// The question of a holder that cannot renew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub holder: MemberName,
    /// Under which epoch.
    pub epoch: Epoch,
    /// The start nonce of its guard.
    pub nonce: u64,
    /// The ttl it counts with.
    pub ttl: Duration,
    /// Number of the round, for people and logs: answers are matched by their connection.
    pub round: u64,
}

/// One round of questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// What is asked.
    pub ask: Ask,
    /// Read before the first question was sent.
    pub sent: Reading,
    /// Every one of them has to agree.
    pub voters: BTreeSet<(MemberName, String)>,
}

impl Round {
    /// The end of the lease when all have agreed, which `naming` says now: a record that was begun while the round was under way may say a
    /// shorter ttl, and under a new epoch (the leader key was put back) those who agreed are bound by that record alone.
    pub fn end(&self, naming: &Naming) -> Reading {
        self.sent.plus(holder_term(naming.ttl(self.ask.ttl)))
    }
}

/// What the asked node knows when the question is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// PostgreSQL here may be writable, or the guard is armed, or the lease is this node's.
    pub primary: bool,
    /// An acquisition of this node may still land in the store.
    pub taking: bool,
    /// The highest epoch known here, from wherever.
    pub highest: Epoch,
    /// Holder, nonce and epoch of the lease record as last seen.
    pub record: Option<(MemberName, u64, Epoch)>,
    /// What this node has promised: in another history of the store the asking leader's epoch may have been somebody else's.
    pub promised: Promised,
    /// The store was seen to go back to an older state.
    pub went_back: bool,
    /// Since then nobody has rewritten the record: it names whom it named once, and not those whom its holder asks.
    pub stale: bool,
}

/// Why a node does not agree to wait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum Refused {
    #[error("this node may be the primary itself")]
    Primary,
    #[error("this node is taking the lease")]
    Taking,
    #[error("epoch {known} is known here, and {asked} asks")]
    HigherEpoch { known: Epoch, asked: Epoch },
    #[error("{holder} holds the lease of epoch {epoch}")]
    OtherHolder { holder: MemberName, epoch: Epoch },
    #[error("the store has gone back to an older state, and {holder} has not renewed the lease since")]
    StoreWentBack { holder: MemberName },
}

/// This node's word to take no lease for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    holder: MemberName,
    epoch: Epoch,
    nonce: u64,
    received: Reading,
    patience: Duration,
}

impl Agreement {
    /// Whom it was given to.
    pub fn holder(&self) -> &MemberName {
        &self.holder
    }

    /// Under which epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// It was given to this very leadership.
    pub fn is_for(&self, holder: &MemberName, nonce: u64, epoch: Epoch) -> bool {
        self.holder == *holder && self.nonce == nonce && self.epoch == epoch
    }

    /// When the question was read.
    pub fn received(&self) -> Reading {
        self.received
    }

    /// It still binds: less than ttl + 1 % have passed since the receipt on one of the two clocks.
    pub fn binds(&self, now: Reading) -> bool {
        now.least_since(self.received) < self.patience
    }

    /// When it binds no more, as a moment of boot time.
    pub fn over_at(&self, now: Reading) -> Moment {
        now.boot + self.patience.saturating_sub(now.least_since(self.received))
    }
}

/// Agrees, or says why not. `bound` is the newest agreement so far; `now` is read after the question has arrived.
pub fn agree(ask: &Ask, known: &Known, bound: Option<&Agreement>, now: Reading) -> Result<Agreement, Refused> {
    if known.primary {
        return Err(Refused::Primary);
    }
    if known.taking {
        return Err(Refused::Taking);
    }
    let bound = bound.filter(|bound| bound.binds(now));
    let highest = known.highest.max(known.promised.epoch);
    let highest = bound.map_or(highest, |bound| bound.epoch.max(highest));
    if highest > ask.epoch {
        return Err(Refused::HigherEpoch { known: highest, asked: ask.epoch });
    }
    let others = bound.filter(|bound| bound.epoch == ask.epoch).map(|bound| (&bound.holder, bound.nonce));
    let recorded = known.record.as_ref().filter(|(_, _, epoch)| *epoch == ask.epoch).map(|(holder, nonce, _)| (holder, *nonce));
    if let Some((holder, _)) = others.into_iter().chain(recorded).find(|other| *other != (&ask.holder, ask.nonce)) {
        return Err(Refused::OtherHolder { holder: holder.clone(), epoch: ask.epoch });
    }
    if known.promised.forbids(&ask.holder, ask.epoch) {
        let holder = known.promised.to.clone().unwrap_or_else(|| ask.holder.clone());
        return Err(Refused::OtherHolder { holder, epoch: ask.epoch });
    }
    if known.went_back && (known.stale || recorded.is_none()) {
        return Err(Refused::StoreWentBack { holder: ask.holder.clone() });
    }
    let Ask { holder, epoch, nonce, ttl, round: _ } = ask.clone();
    // What it was told before with a longer ttl still binds it.
    let before = bound.map_or(Duration::ZERO, |bound| bound.patience.saturating_sub(now.least_since(bound.received)));
    Ok(Agreement { holder, epoch, nonce, received: now, patience: observer_patience(ttl).max(before) })
}

/// What the own lease records name: the next one, and all that may be in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// What the next record will name; `None`: nobody, so that anybody may take over.
    next: Option<Named>,
    /// What the newest attempt names, and its number.
    newest: Option<(Attempt, Option<Named>, Duration)>,
    /// Everybody named by a record that may be in the store.
    every: BTreeSet<(MemberName, String)>,
    /// One of them may name nobody.
    anybody: bool,
    /// The shortest ttl that one of them may say.
    shortest: Duration,
}

impl Default for Naming {
    fn default() -> Self {
        Self { next: None, newest: None, every: BTreeSet::new(), anybody: true, shortest: Duration::MAX }
    }
}

impl Naming {
    /// A restarted agent: everybody whom a record of this guard's start may name was kept outside of its memory.
    pub fn kept(every: BTreeSet<(MemberName, String)>, shortest: Duration) -> Self {
        let next = every.iter().cloned().collect();
        Self { next: Some(next), newest: None, every, anybody: false, shortest }
    }

    /// The next record names these.
    pub fn name(&mut self, next: Option<Named>) {
        self.next = next;
    }

    /// What the next record names.
    pub fn next(&self) -> Option<&Named> {
        self.next.as_ref()
    }

    /// An attempt is about to be sent, which names `named` and says `ttl`. Call it before the request is handed to the client.
    pub fn begun(&mut self, attempt: Attempt, named: Option<&Named>, ttl: Duration) {
        self.shortest = self.shortest.min(ttl);
        self.anybody |= named.is_none();
        // Nearly every attempt names whom the last one named, which takes no copies.
        match &mut self.newest {
            Some((newest, known, its)) if known.as_ref() == named && is(&self.every, named) => (*newest, *its) = (attempt, ttl),
            _ => {
                self.every.extend(named.into_iter().flatten().map(|(name, url)| (name.clone(), url.clone())));
                self.newest = Some((attempt, named.cloned(), ttl));
            }
        }
    }

    /// An attempt is known to have landed. When it is the newest one, every earlier one compares a revision that is gone.
    pub fn landed(&mut self, attempt: Attempt) {
        let Some((_, named, ttl)) = self.newest.as_ref().filter(|(newest, _, _)| *newest == attempt) else { return };
        self.shortest = *ttl;
        self.anybody = named.is_none();
        if !is(&self.every, named.as_ref()) {
            self.every = named.iter().flatten().map(|(name, url)| (name.clone(), url.clone())).collect();
        }
    }

    /// The store went back: a record of an earlier time may be there.
    pub fn unknown(&mut self) {
        self.anybody = true;
    }

    /// The ttl of a round: no longer than any record that may be there says. Whoever has agreed and restarts waits that long from the
    /// record.
    pub fn ttl(&self, wanted: Duration) -> Duration {
        wanted.min(self.shortest)
    }

    /// Everybody that may take over, as far as that is known to be all.
    pub fn every(&self) -> Option<&BTreeSet<(MemberName, String)>> {
        (!self.anybody).then_some(&self.every)
    }

    /// Who has to agree before the lease of `me` is extended without the store; `None`: nobody knows who may take over.
    pub fn voters(&self, me: &MemberName) -> Option<BTreeSet<(MemberName, String)>> {
        Some(self.every()?.iter().filter(|(name, _)| name != me).cloned().collect())
    }
}

/// Everybody are these and no others.
fn is(every: &BTreeSet<(MemberName, String)>, named: Option<&Named>) -> bool {
    every.iter().map(|(name, url)| (name, url)).eq(named.into_iter().flatten())
}

/// What this node sees of failsafe mode, as the asking holder and as one that is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failsafe {
    /// What the next record of this node's lease names.
    pub named: Option<Named>,
    /// What a restarted agent would find is exactly that, or cannot be made so yet.
    pub tidy: bool,
    /// Who has to agree now; `None`: the lease cannot be extended without the store.
    pub voters: Option<BTreeSet<MemberName>>,
    /// A round is on its way.
    pub asking: bool,
    /// When the newest round was sent.
    pub asked: Option<Moment>,
    /// When the newest round was sent in which all agreed.
    pub agreed: Option<Moment>,
    /// Who did not agree in the newest round that has ended, and why.
    pub refused: Option<(MemberName, String)>,
    /// This node has agreed to wait for that holder of that epoch, until then.
    pub waits: Option<(MemberName, Epoch, Moment)>,
    /// The last record names others and not this node: it must not take over.
    pub barred: bool,
}

#[cfg(test)]
#[path = "failsafe_tests.rs"]
mod tests;
