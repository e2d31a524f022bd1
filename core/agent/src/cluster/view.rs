//! Keys of the store → the engine's `StoreView`.
//!
//! What the store holds is not trusted: a value that cannot be read is reported once, and the last good one of that key stays in force.
//! An absent key is absent; it is never filled in from memory.

use std::collections::{BTreeMap, BTreeSet};
use tanist_dcs::{KeyValue, Keys, Snapshot};
use tanist_engine::{DataMark, Member, MemberName, Promise, StoreView, TimelineClaim};
use tanist_patroni::{
    DecodeError,
    dcs::{FailoverKey, InitializeKey, MemberKey, StatusKey, SyncKey},
    own::{HandoffKey, PrimaryKey, PromiseKey, TimelinesKey},
};

/// Reads snapshots one after the other and remembers the last good value of every key.
pub struct ViewReader {
    keys: Keys,
    last: StoreView,
    complaints: BTreeMap<String, String>,
}

impl ViewReader {
    /// For the cluster under these keys.
    pub fn new(keys: Keys) -> Self {
        Self { keys, last: StoreView::default(), complaints: BTreeMap::new() }
    }

    /// What is wrong with values in the store now, by key.
    pub fn complaints(&self) -> &BTreeMap<String, String> {
        &self.complaints
    }

    /// The view of a snapshot.
    pub fn read(&mut self, snapshot: &Snapshot) -> StoreView {
        let last = std::mem::take(&mut self.last);
        let mut keys = Reading { snapshot, complaints: BTreeMap::new() };
        let initialize = keys.one(&self.keys.initialize(), |kv| InitializeKey::decode(&kv.value));
        let view = StoreView {
            as_of: snapshot.as_of.map(|reading| reading.boot),
            initialize: match initialize {
                Read::Absent => None,
                Read::Good(InitializeKey::SystemId(id)) => Some(id),
                // Somebody's bootstrap is under way: a cluster that exists and whose identity nobody can have.
                Read::Good(InitializeKey::Bootstrapping) => Some(String::new()),
                Read::Bad => last.initialize,
            },
            sync: keys.one(&self.keys.sync(), |kv| Ok(SyncKey::decode(&kv.value)?.into_engine(kv.mod_revision))).or(last.sync),
            primary: keys.one(&self.keys.primary(), |kv| Ok(PrimaryKey::decode(&kv.value)?.face)).or(last.primary),
            members: self.members(&mut keys, &last.members),
            switchover: keys
                .one(&self.keys.failover(), |kv| Ok(FailoverKey::decode(&kv.value)?.into_engine(kv.mod_revision)))
                .or(Some(last.switchover))
                .flatten(),
            handoff: keys.one(&self.keys.handoff(), |kv| Ok(HandoffKey::decode(&kv.value)?.0)).or(last.handoff),
            timelines: keys
                .one(&self.keys.timelines(), |kv| Ok(TimelinesKey::decode(&kv.value)?.claims))
                .or(Some(last.timelines))
                .unwrap_or_default(),
            promises: self.promises(&mut keys, &last.promises),
            data: self.data(snapshot),
            optime: keys.one(&self.keys.status(), |kv| Ok(StatusKey::decode(&kv.value)?.optime)).or(Some(last.optime)).flatten(),
        };
        self.report(keys.complaints);
        self.last = view.clone();
        view
    }

    fn members(&self, keys: &mut Reading<'_>, last: &[Member]) -> Vec<Member> {
        let prefix = self.keys.members();
        let names =
            keys.snapshot.keys.range(prefix.clone()..).map(|(key, _)| key.clone()).take_while(|key| key.starts_with(&prefix));
        let mut members = Vec::new();
        for key in names.collect::<Vec<_>>() {
            let name = MemberName(key[prefix.len()..].into());
            let read = keys.one(&key, |kv| MemberKey::decode(&kv.value)?.into_engine(name.clone()));
            members.extend(read.or(last.iter().find(|member| member.name == name).cloned()));
        }
        members
    }

    fn promises(&self, keys: &mut Reading<'_>, last: &[Promise]) -> Vec<Promise> {
        let prefix = self.keys.promises();
        let found: Vec<_> = below(keys.snapshot, &prefix).map(|(name, key, _)| (name, key.to_owned())).collect();
        let read = |(name, key): (MemberName, String)| {
            let read = keys.one(&key, |kv| Ok(PromiseKey::decode(&kv.value)?.into_engine(name.clone(), kv.mod_revision)));
            read.or(last.iter().find(|promise| promise.name == name).cloned())
        };
        found.into_iter().filter_map(read).collect()
    }

    fn data(&self, snapshot: &Snapshot) -> Vec<DataMark> {
        let prefix = self.keys.all_data();
        below(snapshot, &prefix).map(|(name, _, kv)| DataMark { name, revision: kv.mod_revision }).collect()
    }

    /// Logs what is newly wrong, and what is right again.
    fn report(&mut self, complaints: BTreeMap<String, String>) {
        let new: BTreeSet<_> = complaints.iter().filter(|(key, text)| self.complaints.get(*key) != Some(text)).collect();
        for (key, text) in new {
            tracing::warn!(%key, "a value in the store cannot be read, the last good one stays in force: {text}");
        }
        for key in self.complaints.keys().filter(|key| !complaints.contains_key(*key)) {
            tracing::info!(%key, "the value in the store can be read again");
        }
        self.complaints = complaints;
    }

    /// The claims of timelines as last read, for a write that adds to them.
    pub fn timelines(&self) -> &[TimelineClaim] {
        &self.last.timelines
    }
}

/// The keys of members below a prefix.
fn below<'a>(snapshot: &'a Snapshot, prefix: &'a str) -> impl Iterator<Item = (MemberName, &'a str, &'a KeyValue)> {
    let all = snapshot.keys.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix));
    all.map(move |(key, mirrored)| (MemberName(key[prefix.len()..].into()), key.as_str(), &mirrored.kv))
}

/// What became of one key.
enum Read<T> {
    Absent,
    Good(T),
    Bad,
}

impl<T> Read<T> {
    /// The value; of a bad one, the last good.
    fn or(self, last: Option<T>) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Good(value) => Some(value),
            Self::Bad => last,
        }
    }
}

struct Reading<'a> {
    snapshot: &'a Snapshot,
    complaints: BTreeMap<String, String>,
}

impl Reading<'_> {
    fn one<T>(&mut self, key: &str, decode: impl FnOnce(&KeyValue) -> Result<T, DecodeError>) -> Read<T> {
        let Some(mirrored) = self.snapshot.get(key) else { return Read::Absent };
        match decode(&mirrored.kv) {
            Ok(value) => Read::Good(value),
            Err(error) => {
                self.complaints.insert(key.to_owned(), error.to_string());
                Read::Bad
            }
        }
    }
}
