//! A Patroni beside tanists: it knows the leader key and the expiry that the key hangs on, takes the key when it is gone, and never looks
//! at the lease record.
//!
//! Its PostgreSQL is no more than *writable or not*: what is judged is who may write, not what becomes of the data. It is a better one
//! than the real: it never believes in its key longer than the store keeps it. What a Patroni does wrong by itself is not tanist's fault.

use super::{
    clock::{MS, SEC},
    store::{LEADER, Op, Snap, Txn, Value},
};
use crate::rng::Rng;
use tanist_engine::MemberName;

/// What it says to the store, and what comes back.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A loop begins.
    Loop,
    /// Its request reaches the store.
    Asks {
        /// When it was sent.
        sent: u64,
    },
    /// The answer is there.
    Hears {
        /// When the request was sent.
        sent: u64,
        /// The leader key is its own.
        mine: bool,
    },
    /// Its server is promoted.
    Promoted {
        /// Of that loop.
        sent: u64,
    },
}

/// The member.
#[derive(Clone, Debug)]
pub struct Patroni {
    /// Its name.
    pub name: MemberName,
    /// Its chance; of its own, so that the tanists' stays as it is.
    pub rng: Rng,
    /// The number of its expiry in the store.
    slot: usize,
    ttl: u64,
    /// It counts on its key until then.
    until: u64,
    /// Since when it holds the key without a break, by the send of the request that took it.
    leads: Option<u64>,
    /// Its server accepts writes.
    primary: bool,
    /// The next loop that is planned.
    pub wakes_at: u64,
}

impl Patroni {
    /// One that has just started as a standby.
    pub fn new(slot: usize, ttl: u64, rng: Rng) -> Self {
        let name = MemberName::from("patroni");
        Self { name, rng, slot, ttl, until: 0, leads: None, primary: false, wakes_at: u64::MAX }
    }

    /// It would acknowledge a write.
    pub fn writes(&self, now: u64) -> bool {
        self.primary && now < self.until
    }

    /// Between two loops: as a rule a third of the ttl. Now and then it is not there for a while.
    pub fn pause(&mut self) -> u64 {
        if self.rng.chance(60) {
            (self.leads, self.primary) = (None, false);
            return self.rng.range(5 * SEC, 30 * SEC);
        }
        self.ttl / 3
    }

    /// On its way to the store or back; nothing: lost.
    pub fn travels(&mut self) -> Option<u64> {
        (!self.rng.chance(30)).then(|| self.rng.range(MS / 5, 30 * MS))
    }

    fn is_mine(&self, snap: &Snap) -> bool {
        snap.get(LEADER).is_some_and(|leader| *leader.value == Value::Leader(self.name.clone()))
    }

    /// What it does to the keys it finds: keeps its own leader key, takes an absent one, leaves another's alone. It compares that key only.
    pub fn request(&self, snap: &Snap) -> Txn {
        let then = match snap.get(LEADER) {
            Some(_) if self.is_mine(snap) => vec![Op::KeepAlive(self.slot)],
            Some(_) => Vec::new(),
            None => {
                vec![Op::Revoke(self.slot), Op::PutOn(self.slot, LEADER, Value::Leader(self.name.clone()))]
            }
        };
        Txn { compares: vec![(LEADER, snap.revision_of(LEADER))], then }
    }

    /// The keys after its request say that it leads.
    pub fn leads_in(&self, snap: &Snap) -> bool {
        self.is_mine(snap)
    }

    /// Takes in an answer. `true`: it has just won, and promotes.
    pub fn hears(&mut self, sent: u64, mine: bool) -> bool {
        if !mine {
            (self.leads, self.primary) = (None, false);
            return false;
        }
        self.until = self.until.max(sent + self.ttl);
        let won = self.leads.is_none();
        self.leads = self.leads.or(Some(sent));
        won
    }

    /// Its promotion is done, if it is still the leader for which it was begun.
    pub fn promoted(&mut self, sent: u64) {
        self.primary |= self.leads == Some(sent);
    }
}
