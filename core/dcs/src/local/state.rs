//! Keys, revisions, expiries and bounded history of the embedded store: pure, time is an argument.

use super::protocol::{Answer, Call, Event, Refusal};
use crate::{Change, Compare, ExpiryId, KeyValue, MAX_VALUE, Op, Txn, TxnAnswer};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};
use tanist_engine::Revision;

/// Changes kept for watches that begin in the past.
const MAX_HISTORY: usize = 4096;
/// Longest key.
const MAX_KEY: usize = 1024;
/// Most comparisons and operations of one transaction; etcd's default.
const MAX_OPS: usize = 128;
/// Bounds of an expiry; etcd grants no less than about 2 s.
const MIN_TTL: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_secs(86_400);

/// What the log keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// Everything, at the beginning of a log.
    Snapshot { revision: Revision, next_expiry: i64, expiries: Vec<(ExpiryId, u64)>, keys: Vec<KeyValue> },
    /// All changes of one revision.
    Commit { revision: Revision, changes: Vec<Change> },
    /// An expiry was made.
    Granted { id: ExpiryId, ttl_ms: u64 },
    /// An expiry has ended.
    Ended { id: ExpiryId },
}

struct Expiring {
    ttl: Duration,
    ends: Instant,
    keys: BTreeSet<String>,
}

/// See the module.
#[derive(Default)]
pub(super) struct State {
    revision: u64,
    keys: BTreeMap<String, KeyValue>,
    expiries: BTreeMap<ExpiryId, Expiring>,
    next_expiry: i64,
    history: VecDeque<(Revision, Vec<Change>)>,
    /// Changes up to this revision are not kept any more.
    compacted: u64,
}

impl State {
    pub(super) fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// Answers a call (but a watch); what must be logged before the answer may leave is appended to `log`.
    pub(super) fn call(&mut self, call: Call, now: Instant, log: &mut Vec<Entry>) -> Result<Answer, Refusal> {
        match call {
            Call::List { prefix } => {
                Ok(Answer::Listing { revision: self.revision(), items: self.under(&prefix).cloned().collect() })
            }
            Call::Txn(txn) => self.txn(txn, log).map(Answer::Txn),
            Call::Grant { ttl_ms } => {
                let ttl = Duration::from_millis(ttl_ms).clamp(MIN_TTL, MAX_TTL);
                self.next_expiry += 1;
                let id = ExpiryId(self.next_expiry);
                self.expiries.insert(id, Expiring { ttl, ends: now + ttl, keys: BTreeSet::new() });
                log.push(Entry::Granted { id, ttl_ms });
                Ok(Answer::Granted(id))
            }
            Call::KeepAlive(id) => {
                let expiring = self.expiries.get_mut(&id).ok_or(Refusal::ExpiryGone)?;
                expiring.ends = now + expiring.ttl;
                Ok(Answer::Done)
            }
            Call::Revoke(id) => {
                if !self.expiries.contains_key(&id) {
                    return Err(Refusal::ExpiryGone);
                }
                self.end(id, log);
                Ok(Answer::Done)
            }
            Call::Watch { .. } => Err(Refusal::Refused("a watch needs a connection of its own".to_owned())),
        }
    }

    fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a KeyValue> {
        self.keys.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix)).map(|(_, kv)| kv)
    }

    /// Ends what has not been kept alive.
    pub(super) fn expire(&mut self, now: Instant, log: &mut Vec<Entry>) {
        let over: Vec<_> = self.expiries.iter().filter(|(_, expiring)| expiring.ends <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.end(id, log);
        }
    }

    /// When the next expiry ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.expiries.values().map(|expiring| expiring.ends).min()
    }

    fn end(&mut self, id: ExpiryId, log: &mut Vec<Entry>) {
        let keys = self.expiries.get(&id).map(|expiring| expiring.keys.clone()).unwrap_or_default();
        if !keys.is_empty() {
            let entry = Entry::Commit {
                revision: Revision(self.revision + 1),
                changes: keys.into_iter().map(|key| Change::Delete { key }).collect(),
            };
            self.apply(entry.clone(), None);
            log.push(entry);
        }
        self.apply(Entry::Ended { id }, None);
        log.push(Entry::Ended { id });
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::Absent(key) => !self.keys.contains_key(key),
            Compare::ModRevision(key, revision) => self.keys.get(key).map_or(Revision(0), |kv| kv.mod_revision) == *revision,
            Compare::CreateRevision(key, revision) => {
                self.keys.get(key).map_or(Revision(0), |kv| kv.create_revision) == *revision
            }
            Compare::Value(key, value) => self.keys.get(key).is_some_and(|kv| kv.value == *value),
        }
    }

    fn check(&self, txn: &Txn) -> Result<(), Refusal> {
        let refused = |why: String| Err(Refusal::Refused(why));
        for (what, count) in [("comparisons", txn.compares.len()), ("operations", txn.then.len().max(txn.otherwise.len()))] {
            if count > MAX_OPS {
                return refused(format!("{count} {what}, at most {MAX_OPS}"));
            }
        }
        for branch in [&txn.then, &txn.otherwise] {
            let mut written = BTreeSet::new();
            for op in branch {
                let (key, writes) = match op {
                    Op::Get(key) => (key, false),
                    Op::Delete(key) | Op::Put { key, .. } => (key, true),
                };
                if key.is_empty() || key.len() > MAX_KEY {
                    return refused(format!("a key of {} bytes", key.len()));
                }
                if writes && !written.insert(key) {
                    return refused(format!("{key} is written twice"));
                }
                if let Op::Put { value, expiry, .. } = op {
                    if value.len() > MAX_VALUE {
                        return refused(format!("{key}: a value of {} bytes, at most {MAX_VALUE}", value.len()));
                    }
                    if expiry.is_some_and(|id| !self.expiries.contains_key(&id)) {
                        return Err(Refusal::ExpiryGone);
                    }
                }
            }
        }
        Ok(())
    }

    fn txn(&mut self, txn: Txn, log: &mut Vec<Entry>) -> Result<TxnAnswer, Refusal> {
        self.check(&txn)?;
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { txn.then } else { txn.otherwise };
        let revision = Revision(self.revision + 1);
        let mut reads = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        for op in branch {
            match op {
                // As etcd: operations see those before them.
                Op::Get(key) => {
                    reads.push(match changes.iter().find(|change| change.key() == key) {
                        Some(Change::Put(kv)) => Some(kv.clone()),
                        Some(Change::Delete { .. }) => None,
                        None => self.keys.get(&key).cloned(),
                    });
                }
                Op::Put { key, value, expiry } => {
                    let create_revision = self.keys.get(&key).map_or(revision, |kv| kv.create_revision);
                    changes.push(Change::Put(KeyValue { key, value, create_revision, mod_revision: revision, expiry }));
                }
                Op::Delete(key) if self.keys.contains_key(&key) => changes.push(Change::Delete { key }),
                Op::Delete(_) => {}
            }
        }
        if !changes.is_empty() {
            let entry = Entry::Commit { revision, changes };
            self.apply(entry.clone(), None);
            log.push(entry);
        }
        Ok(TxnAnswer { succeeded, revision: self.revision(), reads })
    }

    /// Carries out what the log says. `restarted`: read from the log, every expiry gets its full time again.
    pub(super) fn apply(&mut self, entry: Entry, restarted: Option<Instant>) {
        let now = restarted.unwrap_or_else(Instant::now);
        match entry {
            Entry::Snapshot { revision, next_expiry, expiries, keys } => {
                *self = Self { revision: revision.0, next_expiry, compacted: revision.0, ..Self::default() };
                for (id, ttl_ms) in expiries {
                    self.insert_expiry(id, ttl_ms, now);
                }
                for kv in keys {
                    self.put(kv);
                }
            }
            Entry::Commit { revision, changes } => {
                for change in &changes {
                    match change {
                        Change::Put(kv) => self.put(kv.clone()),
                        Change::Delete { key } => self.remove(key),
                    }
                }
                self.revision = revision.0;
                self.history.push_back((revision, changes));
                if self.history.len() > MAX_HISTORY
                    && let Some((oldest, _)) = self.history.pop_front()
                {
                    self.compacted = oldest.0;
                }
            }
            Entry::Granted { id, ttl_ms } => {
                self.insert_expiry(id, ttl_ms, now);
                self.next_expiry = self.next_expiry.max(id.0);
            }
            Entry::Ended { id } => {
                self.expiries.remove(&id);
            }
        }
    }

    fn insert_expiry(&mut self, id: ExpiryId, ttl_ms: u64, now: Instant) {
        let ttl = Duration::from_millis(ttl_ms).clamp(MIN_TTL, MAX_TTL);
        self.expiries.insert(id, Expiring { ttl, ends: now + ttl, keys: BTreeSet::new() });
    }

    fn put(&mut self, kv: KeyValue) {
        self.remove(&kv.key);
        if let Some(expiring) = kv.expiry.and_then(|id| self.expiries.get_mut(&id)) {
            expiring.keys.insert(kv.key.clone());
        }
        self.keys.insert(kv.key.clone(), kv);
    }

    fn remove(&mut self, key: &str) {
        let expiry = self.keys.remove(key).and_then(|kv| kv.expiry);
        if let Some(expiring) = expiry.and_then(|id| self.expiries.get_mut(&id)) {
            expiring.keys.remove(key);
        }
    }

    /// Everything, for the beginning of a new log.
    pub(super) fn snapshot(&self) -> Entry {
        Entry::Snapshot {
            revision: self.revision(),
            next_expiry: self.next_expiry,
            expiries: self
                .expiries
                .iter()
                .map(|(id, expiring)| (*id, u64::try_from(expiring.ttl.as_millis()).unwrap_or(u64::MAX)))
                .collect(),
            keys: self.keys.values().cloned().collect(),
        }
    }

    /// What a watch that begins at `from` has missed; `None`: it is not kept any more.
    pub(super) fn since(&self, prefix: &str, from: Revision) -> Option<Vec<Event>> {
        if from.0 <= self.compacted && from.0 != 0 {
            return None;
        }
        let missed = self.history.iter().filter(|(revision, _)| from.0 != 0 && *revision >= from);
        Some(missed.filter_map(|(revision, changes)| event(prefix, *revision, changes)).collect())
    }
}

/// The part of a revision's changes that lies under `prefix`, if any does.
pub(super) fn event(prefix: &str, revision: Revision, changes: &[Change]) -> Option<Event> {
    let changes: Vec<_> = changes.iter().filter(|change| change.key().starts_with(prefix)).cloned().collect();
    (!changes.is_empty()).then_some(Event::Changes { revision, changes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(state: &mut State, key: &str, expiry: Option<ExpiryId>) -> Result<Answer, Refusal> {
        let then = vec![Op::Put { key: key.into(), value: vec![1], expiry }];
        state.call(Call::Txn(Txn { then, ..Txn::default() }), Instant::now(), &mut Vec::new())
    }

    #[test]
    fn history_is_bounded_and_says_so() {
        let mut state = State::default();
        for _ in 0..MAX_HISTORY + 1 {
            assert!(put(&mut state, "k", None).is_ok());
        }
        assert_eq!(state.since("", Revision(1)), None);
        assert_eq!(state.since("", Revision(2)).map(|events| events.len()), Some(MAX_HISTORY));
        assert_eq!(state.since("other", Revision(2)), Some(Vec::new()));
    }

    #[test]
    fn the_log_replayed_is_the_state() {
        let now = Instant::now();
        let mut state = State::default();
        let mut log = vec![state.snapshot()];
        let Ok(Answer::Granted(id)) = state.call(Call::Grant { ttl_ms: 2_000 }, now, &mut log) else { unreachable!("granted") };
        for (key, expiry) in [("a", None), ("b", Some(id)), ("c", Some(id))] {
            let then = vec![Op::Put { key: key.into(), value: vec![2], expiry }];
            assert!(state.call(Call::Txn(Txn { then, ..Txn::default() }), now, &mut log).is_ok());
        }
        let then = vec![Op::Delete("c".into())];
        assert!(state.call(Call::Txn(Txn { then, ..Txn::default() }), now, &mut log).is_ok());
        let mut again = State::default();
        for entry in log {
            again.apply(entry, Some(now));
        }
        assert_eq!(again.snapshot(), state.snapshot());
        let mut ends = Vec::new();
        again.expire(now + Duration::from_secs(2), &mut ends);
        let gone = Entry::Commit { revision: Revision(5), changes: vec![Change::Delete { key: "b".into() }] };
        assert_eq!(ends, vec![gone, Entry::Ended { id }], "the key still hangs on its expiry");
    }

    #[test]
    fn impossible_requests_change_nothing() {
        let mut state = State::default();
        assert_eq!(put(&mut state, "k", Some(ExpiryId(9))), Err(Refusal::ExpiryGone));
        let twice = Txn { then: vec![Op::put("k", "1"), Op::Delete("k".into())], ..Txn::default() };
        assert!(matches!(state.call(Call::Txn(twice), Instant::now(), &mut Vec::new()), Err(Refusal::Refused(_))));
        let big = Txn { then: vec![Op::put("k", vec![0; MAX_VALUE + 1])], ..Txn::default() };
        assert!(matches!(state.call(Call::Txn(big), Instant::now(), &mut Vec::new()), Err(Refusal::Refused(_))));
        assert_eq!(state.revision(), Revision(0));
    }
}
