//! The store: one linearizable sequence of revisions, comparing transactions, keys that expire for Patroni's eyes.
//!
//! Loss, delay and late landing of requests and answers are the network's matter; this is what happens when a request arrives. Every
//! commit makes an immutable snapshot, which is what reads and watches hand out.

use super::{config::Config, record::Record};
use std::rc::Rc;
use tanist_engine::{Epoch, Face, Handoff, Lsn, Member, MemberName, Named, Promise, SyncState, TimelineClaim};

/// Index of a key.
pub type Key = usize;
/// Patroni's leader key.
pub const LEADER: Key = 0;
/// The lease record.
pub const LEASE: Key = 1;
/// The base of the epochs.
pub const BASE: Key = 2;
/// Who may have acknowledged.
pub const SYNC: Key = 3;
/// The cluster's identifier.
pub const INITIALIZE: Key = 4;
/// A switchover that was asked for.
pub const FAILOVER: Key = 5;
/// The leader's position.
pub const STATUS: Key = 6;
/// The cluster's face.
pub const PRIMARY: Key = 7;
/// Claimed timelines.
pub const TIMELINES: Key = 8;
/// In whose favour the lease was given up.
pub const HANDOFF: Key = 9;
/// The dynamic configuration.
pub const CONFIG: Key = 10;
/// Whom the lease record names, for Patroni's eyes.
pub const FAILSAFE: Key = 11;
/// The first member key; node `n` has `MEMBER0 + n`. After the members come their promises, then the marks of their data directories.
pub const MEMBER0: Key = 12;

/// A typed value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the value of the key of that name")]
pub enum Value {
    Leader(MemberName),
    Lease(Record),
    Base(Epoch),
    Sync(SyncState),
    Initialize(String),
    Failover { leader: Option<MemberName>, candidate: Option<MemberName> },
    Status(Lsn),
    Primary(Face),
    Timelines(Vec<TimelineClaim>),
    Handoff(Handoff),
    Config(Config),
    Failsafe(Named),
    Member(Member),
    Promise(Promise),
    Data(MemberName),
}

/// A key's content.
#[derive(Clone, Debug)]
pub struct Kv {
    /// Revision that created it.
    pub create: u64,
    /// Revision that wrote it last.
    pub revision: u64,
    /// Its value.
    pub value: Rc<Value>,
    /// The node on whose expiry it hangs.
    pub expiry: Option<usize>,
}

/// All keys at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snap {
    /// The revision.
    pub revision: u64,
    keys: Vec<Option<Kv>>,
    /// Of all snapshots of a store, also when it goes back, each has a number of its own.
    number: u64,
    /// The number of the one it was made from, and the keys in which it differs, as bits.
    made_from: (u64, u64),
}

impl Snap {
    /// The keys that may differ from those of another snapshot, as bits.
    pub fn changes_since(&self, other: Option<&Self>) -> u64 {
        match other {
            Some(other) if other.number == self.number => 0,
            Some(other) if other.number == self.made_from.0 => self.made_from.1,
            _ => u64::MAX,
        }
    }

    /// One key.
    pub fn get(&self, key: Key) -> Option<&Kv> {
        self.keys.get(key)?.as_ref()
    }

    /// How many keys there can be.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many nodes have keys.
    pub fn nodes(&self) -> usize {
        self.keys.len().saturating_sub(MEMBER0) / 3
    }

    /// The key of a node's promise.
    pub fn promise(&self, node: usize) -> Key {
        MEMBER0 + self.nodes() + node
    }

    /// The key of the mark of a node's data directory.
    pub fn data(&self, node: usize) -> Key {
        MEMBER0 + 2 * self.nodes() + node
    }

    /// There can be none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Its revision; zero: absent.
    pub fn revision_of(&self, key: Key) -> u64 {
        self.get(key).map_or(0, |kv| kv.revision)
    }

    /// The lease record.
    pub fn record(&self) -> Option<(&Record, u64)> {
        let kv = self.get(LEASE)?;
        match &*kv.value {
            Value::Lease(record) => Some((record, kv.revision)),
            _ => None,
        }
    }

    /// The cluster's face.
    pub fn face(&self) -> Option<&Face> {
        match &*self.get(PRIMARY)?.value {
            Value::Primary(face) => Some(face),
            _ => None,
        }
    }

    /// `/sync`.
    pub fn sync(&self) -> Option<&SyncState> {
        match &*self.get(SYNC)?.value {
            Value::Sync(sync) => Some(sync),
            _ => None,
        }
    }

    /// What a node says of itself.
    pub fn member(&self, node: usize) -> Option<&Member> {
        match &*self.get(MEMBER0 + node)?.value {
            Value::Member(member) => Some(member),
            _ => None,
        }
    }

    /// The timelines that were claimed.
    pub fn claims(&self) -> &[TimelineClaim] {
        match self.get(TIMELINES).map(|kv| &*kv.value) {
            Some(Value::Timelines(claims)) => claims,
            _ => &[],
        }
    }

    /// The last position the leader has told.
    pub fn optime(&self) -> Option<Lsn> {
        match &*self.get(STATUS)?.value {
            Value::Status(lsn) => Some(*lsn),
            _ => None,
        }
    }
}

/// A write.
#[derive(Clone, Debug)]
pub enum Op {
    /// Put, on nobody's expiry.
    Put(Key, Value),
    /// Put on the expiry of a node.
    PutOn(usize, Key, Value),
    /// Delete.
    Delete(Key),
    /// Keep the expiry of a node alive.
    KeepAlive(usize),
    /// End the expiry of a node.
    Revoke(usize),
}

/// A transaction: all comparisons hold, then all writes. Its answer carries the snapshot after it.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// Key and the revision it must have; zero: absent.
    pub compares: Vec<(Key, u64)>,
    /// The writes.
    pub then: Vec<Op>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The comparisons held.
    pub succeeded: bool,
    /// The snapshot after it.
    pub snap: Rc<Snap>,
}

/// What a node's keys hang on. A store keeps the ttl it was granted with.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    /// True time.
    end: u64,
    granted: u64,
}

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    /// The newest snapshot.
    pub snap: Rc<Snap>,
    /// Each node's expiry, and that of a Patroni.
    expiry: Vec<Option<Expiry>>,
    /// The ttl with which the next one of each node is granted.
    pub grants: Vec<u64>,
    backup: Option<Rc<Snap>>,
    snaps: u64,
}

impl Store {
    /// An empty store for `nodes` nodes.
    pub fn new(nodes: usize, ttl: u64) -> Self {
        let keys = vec![None; MEMBER0 + 3 * nodes];
        assert!(keys.len() <= 64, "the keys of so many nodes do not fit the bits of a word");
        let snap = Snap { revision: 1, keys, number: 1, made_from: (0, u64::MAX) };
        // One more than nodes: a Patroni's.
        Self { snap: Rc::new(snap), expiry: vec![None; nodes + 1], grants: vec![ttl; nodes + 1], backup: None, snaps: 1 }
    }

    /// Carries out a transaction. `true` beside the answer: something changed.
    pub fn apply(&mut self, txn: Txn, now: u64) -> (Answer, bool) {
        let succeeded = txn.compares.iter().all(|(key, revision)| self.snap.revision_of(*key) == *revision);
        let mut changed = false;
        if succeeded && !txn.then.is_empty() {
            changed = self.write(txn.then, now);
        }
        (Answer { succeeded, snap: self.snap.clone() }, changed)
    }

    fn write(&mut self, ops: Vec<Op>, now: u64) -> bool {
        let revision = self.snap.revision + 1;
        let mut keys: Option<Vec<Option<Kv>>> = None;
        let mut changed = 0;
        for op in ops {
            match op {
                Op::KeepAlive(node) => {
                    if let Some(expiry) = &mut self.expiry[node] {
                        expiry.end = now + expiry.granted;
                    }
                }
                Op::Revoke(node) => {
                    self.expiry[node] = None;
                    let keys = keys.get_or_insert_with(|| self.snap.keys.clone());
                    changed |= clear_expired(keys, node);
                }
                Op::Delete(key) => {
                    let keys = keys.get_or_insert_with(|| self.snap.keys.clone());
                    keys[key] = None;
                    changed |= 1 << key;
                }
                Op::Put(key, value) => {
                    changed |= 1 << key;
                    put(keys.get_or_insert_with(|| self.snap.keys.clone()), key, value, revision, None);
                }
                Op::PutOn(node, key, value) => {
                    let granted = self.grants[node];
                    self.expiry[node].get_or_insert(Expiry { end: now + granted, granted });
                    let keys = keys.get_or_insert_with(|| self.snap.keys.clone());
                    put(keys, key, value, revision, Some(node));
                    changed |= 1 << key;
                }
            }
        }
        let Some(keys) = keys else { return false };
        self.snaps += 1;
        self.snap = Rc::new(Snap { revision, keys, number: self.snaps, made_from: (self.snap.number, changed) });
        true
    }

    /// The ttl that a node's present expiry was granted with.
    pub fn granted(&self, node: usize) -> Option<u64> {
        self.expiry[node].map(|expiry| expiry.granted)
    }

    /// Whether a node's expiry is alive.
    pub fn expiry_alive(&self, node: usize) -> bool {
        self.expiry[node].is_some()
    }

    /// The next end of an expiry.
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiry.iter().flatten().map(|expiry| expiry.end).min()
    }

    /// Deletes what hangs on ended expiries. `true`: something changed.
    pub fn expire(&mut self, now: u64) -> bool {
        let mut changed = false;
        for node in 0..self.expiry.len() {
            if self.expiry[node].is_some_and(|expiry| expiry.end <= now) {
                changed |= self.write(vec![Op::Revoke(node)], now);
            }
        }
        changed
    }

    /// A new leader of the store restarts every expiry.
    pub fn elect(&mut self, now: u64) {
        for expiry in self.expiry.iter_mut().flatten() {
            expiry.end = now + expiry.granted;
        }
    }

    /// Somebody deletes a key behind everybody's back.
    pub fn delete(&mut self, key: Key, now: u64) -> bool {
        self.snap.get(key).is_some() && self.write(vec![Op::Delete(key)], now)
    }

    /// Takes a backup.
    pub fn back_up(&mut self) {
        self.backup = Some(self.snap.clone());
    }

    /// Goes back to the backup, revisions and all. `false`: there is none.
    pub fn restore(&mut self) -> bool {
        match &self.backup {
            Some(backup) => {
                self.snap = backup.clone();
                true
            }
            None => false,
        }
    }
}

fn put(keys: &mut [Option<Kv>], key: Key, value: Value, revision: u64, expiry: Option<usize>) {
    let create = keys[key].as_ref().map_or(revision, |kv| kv.create);
    keys[key] = Some(Kv { create, revision, value: Rc::new(value), expiry });
}

/// The cleared keys, as bits.
fn clear_expired(keys: &mut [Option<Kv>], node: usize) -> u64 {
    let mut cleared = 0;
    for (number, key) in keys.iter_mut().enumerate() {
        if key.as_ref().is_some_and(|kv| kv.expiry == Some(node)) {
            *key = None;
            cleared |= 1 << number;
        }
    }
    cleared
}
