//! Values in the store that nobody can read, because other hands wrote them: the leader's agent puts them back as it last read them.
//!
//! Every agent goes on with its own last good value; but one that starts anew has none, and a comparing write over a value needs one that
//! was read. What is told anew anyway (members, `/status`, promises) mends itself; a request that cannot be read is taken away. A dynamic
//! configuration that somebody has deleted is put back, too: without it the next node that starts would live by its own file.

use super::{Tools, outcome::written};
use crate::cluster::is_identity;
use std::{collections::BTreeMap, time::Duration};
use tanist_dcs::{Compare, Op, Snapshot, lease::Keeper};
use tanist_engine::StoreView;
use tanist_patroni::{
    dcs::{InitializeKey, SyncKey},
    own::{PrimaryKey, TimelinesKey},
};

impl Tools {
    /// Puts the dynamic configuration back into a store that has none: the last one that was read here.
    pub async fn restore_config(&self, timeout: Duration) {
        let config = self.config.or(&self.settings.bootstrap.dcs);
        if put_missing(&self.keeper, self.keeper.keys().config(), config, timeout).await {
            tracing::warn!("/config was not there; the dynamic configuration that is in force was put back");
        }
    }

    /// Puts back what can be put back. `unreadable` are the keys in `snapshot` whose values cannot be read, `view` is the last good of all.
    pub async fn mend(&self, snapshot: &Snapshot, view: &StoreView, unreadable: &BTreeMap<String, String>, timeout: Duration) {
        for key in unreadable.keys() {
            let Some(mirrored) = snapshot.get(key) else { continue };
            let Some(op) = self.put_back(key, view) else { continue };
            let compare = Compare::ModRevision(key.clone(), mirrored.kv.mod_revision);
            if written(key, self.keeper.leader_write(vec![op], vec![compare], timeout).await) {
                tracing::warn!(key, "a value that could not be read was replaced by the last good one");
            }
        }
    }

    fn put_back(&self, key: &str, view: &StoreView) -> Option<Op> {
        let keys = self.keeper.keys();
        let value = match key {
            key if key == keys.initialize() => {
                InitializeKey::SystemId(view.initialize.clone().filter(|id| is_identity(id))?).encode()
            }
            // Of this leader only: another's is rewritten by the step that replaces it.
            key if key == keys.sync() => {
                SyncKey::from_engine(view.sync.as_ref().filter(|sync| sync.leader.as_ref() == Some(&self.settings.name))?)
                    .encode()
            }
            key if key == keys.timelines() => {
                if view.timelines.is_empty() {
                    return None;
                }
                TimelinesKey { claims: view.timelines.clone() }.encode()
            }
            key if key == keys.primary() => {
                PrimaryKey { face: view.primary.clone()?, since: crate::run::wall::iso_now() }.encode()
            }
            key if key == keys.failover() || key == keys.handoff() => return Some(Op::Delete(key.to_owned())),
            _ => return None,
        };
        Some(Op::put(key.to_owned(), value))
    }
}

/// Writes a key that does not exist, as the leader; never over a value that somebody has put there meanwhile.
async fn put_missing(keeper: &Keeper, key: String, value: Vec<u8>, timeout: Duration) -> bool {
    let compare = Compare::Absent(key.clone());
    written(&key.clone(), keeper.leader_write(vec![Op::put(key, value)], vec![compare], timeout).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tanist_dcs::{
        Clock, Keys, Mirror, Store,
        lease::{AcquireOutcome, SyncNow},
        local::{LocalStore, Server},
    };
    use tanist_engine::Revision;

    const LIMIT: Duration = Duration::from_secs(3);

    /// A clock that runs ahead: a keeper that has just started waits a whole ttl.
    fn later() -> Clock {
        let clock = Clock::system();
        Clock::new(move || clock.now().plus(Duration::from_secs(60)))
    }

    /// A keeper that holds the lease of an empty store.
    async fn leader(store: Arc<dyn Store>) -> Keeper {
        let keys = Keys::new("service", "e2e");
        let mirror = Mirror::spawn(store.clone(), keys.prefix().to_owned(), Clock::system(), LIMIT);
        let keeper = Keeper::new(store, keys, "a".into(), 7, Duration::from_secs(30), later());
        let mut snapshots = mirror.subscribe();
        let listed = snapshots.wait_for(|snapshot| snapshot.watching).await.unwrap().clone();
        keeper.observe(&listed, Clock::system().now());
        let value = SyncKey::default().encode().into_bytes();
        let sync = SyncNow { revision: Revision(0), value, state: None, initialize: Revision(0) };
        assert!(keeper.confirm_vacant().await.unwrap());
        let outcome = keeper.acquire(Revision(0), sync).await;
        assert!(matches!(outcome, AcquireOutcome::Won(_)), "{outcome:?}");
        keeper
    }

    #[tokio::test]
    async fn what_is_missing_is_put_back_and_what_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("store");
        tokio::spawn(Server::bind(&socket, None).unwrap().run(std::future::pending()));
        let store: Arc<dyn Store> = Arc::new(LocalStore::new(&socket));
        let keeper = leader(store.clone()).await;
        let key = keeper.keys().config();
        assert!(put_missing(&keeper, key.clone(), b"first".to_vec(), LIMIT).await);
        assert!(!put_missing(&keeper, key.clone(), b"second".to_vec(), LIMIT).await);
        assert_eq!(store.get(&key, LIMIT).await.unwrap().map(|kv| kv.value), Some(b"first".to_vec()));
    }
}
