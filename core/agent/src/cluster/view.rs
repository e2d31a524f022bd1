//! Keys of the store → the engine's `StoreView`.
//!
//! What the store holds is not trusted: a value that cannot be read is reported once, and the last good one of that key stays in force.
//! An absent key is absent; it is never filled in from memory.

use std::collections::{BTreeMap, BTreeSet};
use tanist_dcs::{KeyValue, Keys, Snapshot};
use tanist_engine::{DataMark, Epoch, Member, MemberName, Promise, Revision, StoreView, SyncState, TimelineClaim};
use tanist_patroni::{
    DecodeError,
    dcs::{FailoverKey, FailsafeKey, InitializeKey, MemberKey, StatusKey, SyncKey},
    own::{HandoffKey, PrimaryKey, PromiseKey, TimelinesKey},
};

/// Stands for a name or an identity that cannot be read.
const UNREADABLE: &str = "(unreadable)";

/// Whether this is a database system identifier, as PostgreSQL prints it, and not what stands for one that nobody can read.
pub fn is_identity(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())
}

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
                Read::Good(InitializeKey::Bootstrapping) => Some(self.emptied(&mut keys, last.initialize)),
                // Never absent: an agent that has just started must not take the cluster for one that does not exist.
                Read::Bad => Some(last.initialize.unwrap_or_else(|| UNREADABLE.to_owned())),
            },
            sync: self.sync(&mut keys, last.sync),
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
            failsafe: keys.one(&self.keys.failsafe(), |kv| Ok(FailsafeKey::decode(&kv.value)?.members)).or(last.failsafe),
            optime: keys.one(&self.keys.status(), |kv| Ok(StatusKey::decode(&kv.value)?.optime)).or(Some(last.optime)).flatten(),
        };
        self.report(keys.complaints);
        self.last = view.clone();
        view
    }

    /// An empty `/initialize`: a Patroni that makes a new cluster puts it into a store that has none. Where there is one, somebody has
    /// emptied the key: the identity is the one that was read last, and the leader puts it back.
    fn emptied(&self, keys: &mut Reading<'_>, last: Option<String>) -> String {
        let known = last.filter(|id| !id.is_empty());
        let led = [self.keys.lease(), self.keys.primary()].iter().any(|key| keys.snapshot.get(key).is_some());
        if known.is_none() && !led {
            return String::new();
        }
        let complaint = "initialize: is empty, and nobody makes a new cluster: there is one".to_owned();
        keys.complaints.insert(self.keys.initialize(), complaint);
        known.unwrap_or_else(|| UNREADABLE.to_owned())
    }

    /// Of a value that cannot be read: the last good content, as what is there now, so that a leader's write can replace it. Without any
    /// nobody knows who may lead, so nobody may.
    fn sync(&self, keys: &mut Reading<'_>, last: Option<SyncState>) -> Option<SyncState> {
        let key = self.keys.sync();
        match keys.one(&key, |kv| Ok(SyncKey::decode(&kv.value)?.into_engine(kv.mod_revision))) {
            Read::Absent => None,
            Read::Good(sync) => Some(sync),
            Read::Bad => {
                let revision = keys.revision(&key);
                let nobody = || SyncState { leader: Some(UNREADABLE.into()), ..SyncState::default() };
                Some(SyncState { revision, ..last.unwrap_or_else(nobody) })
            }
        }
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
            // What is there now is to be replaced, and promises nothing by itself.
            let nothing = || Promise { name: name.clone(), revision: Revision(0), epoch: Epoch::NONE, position: None };
            let known = || last.iter().find(|promise| promise.name == name).cloned().unwrap_or_else(nothing);
            match read {
                Read::Absent => None,
                Read::Good(promise) => Some(promise),
                Read::Bad => Some(Promise { revision: keys.revision(&key), ..known() }),
            }
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
    fn revision(&self, key: &str) -> Revision {
        self.snapshot.get(key).map_or(Revision(0), |mirrored| mirrored.kv.mod_revision)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tanist_dcs::Mirrored;

    const ID: &str = "7575000000000000001";

    fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
        let kv = |(name, value): &(&str, &str)| {
            let (key, value) = (format!("/service/demo/{name}"), value.as_bytes().to_vec());
            let (create_revision, mod_revision) = (Revision(5), Revision(5));
            let kv = KeyValue { key: key.clone(), value, create_revision, mod_revision, expiry: None };
            (key, Arc::new(Mirrored { kv, received: tanist_engine::Reading::default() }))
        };
        let as_of = Some(tanist_engine::Reading::default());
        Snapshot { revision: Revision(5), as_of, keys: pairs.iter().map(kv).collect(), ..Snapshot::default() }
    }

    fn reader() -> ViewReader {
        ViewReader::new(Keys::new("service", "demo"))
    }

    #[test]
    fn an_identity_that_was_emptied_stays_the_last_one_and_is_complained_about() {
        let mut reader = reader();
        assert_eq!(reader.read(&snapshot(&[("initialize", ID)])).initialize.as_deref(), Some(ID));
        for _ in 0..2 {
            assert_eq!(reader.read(&snapshot(&[("initialize", "")])).initialize.as_deref(), Some(ID));
            assert_eq!(reader.complaints().keys().collect::<Vec<_>>(), ["/service/demo/initialize"], "so that it is put back");
        }
        assert_eq!(reader.read(&snapshot(&[("initialize", ID)])).initialize.as_deref(), Some(ID));
        assert!(reader.complaints().is_empty());
        assert_eq!(reader.read(&snapshot(&[])).initialize, None, "an absent key is never filled in");
    }

    #[test]
    fn an_empty_identity_is_a_bootstrap_only_where_there_is_no_cluster() {
        assert_eq!(reader().read(&snapshot(&[("initialize", "")])).initialize.as_deref(), Some(""));
        let mut started = reader();
        let view = started.read(&snapshot(&[("initialize", ""), ("tanist/lease", "any")]));
        assert_eq!(view.initialize.as_deref(), Some(UNREADABLE), "nobody without data takes it for a cluster that is not there");
        assert_eq!(started.complaints().len(), 1);
    }
}
