//! Nodes of one cluster on a real store, with one clock that is turned by hand; the store's own expiry is long.

use crate::support::{PATIENCE, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tanist_dcs::faulty::Faulty;
use tanist_dcs::lease::{AcquireOutcome, Keeper, Record, RenewOutcome, SyncNow};
use tanist_dcs::{Clock, Keys, Mirror, Op, Store, Txn};
use tanist_engine::{Held, Lease, Moment, Reading, Revision, SyncState};

pub const TTL: Duration = Duration::from_secs(60);

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A cluster's place in a store, and one clock for all of its nodes.
pub struct Cluster {
    pub store: Arc<dyn Store>,
    pub keys: Keys,
    pub time: Arc<AtomicU64>,
}

impl Cluster {
    pub fn new(store: Arc<dyn Store>, scope: &str) -> Self {
        Self { store, keys: Keys::new("service", scope), time: Arc::new(AtomicU64::new(1_000_000_000_000)) }
    }

    pub fn clock(&self) -> Clock {
        let time = self.time.clone();
        Clock::new(move || {
            let now = Moment::from_nanos(time.load(Ordering::SeqCst));
            Reading { boot: now, raw: now }
        })
    }

    pub fn now(&self) -> Reading {
        self.clock().now()
    }

    pub fn pass(&self, span: Duration) {
        self.time.fetch_add(u64::try_from(span.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    pub fn node(&self, name: &str, nonce: u64) -> Node {
        let faulty = Faulty::new(self.store.clone());
        let store: Arc<dyn Store> = faulty.clone();
        let keeper = Arc::new(Keeper::new(store, self.keys.clone(), name.into(), nonce, TTL, self.clock()));
        keeper.answer_at(format!("http://{name}"));
        let mirror = Mirror::spawn(self.store.clone(), self.keys.prefix().to_owned(), self.clock(), PATIENCE);
        Node { name: name.to_owned(), nonce, keeper, mirror, faulty, clock: self.clock(), keys: self.keys.clone() }
    }

    pub async fn write(&self, ops: Vec<Op>) -> Revision {
        self.store.txn(Txn { then: ops, ..Txn::default() }, PATIENCE).await.unwrap().revision
    }

    pub async fn value(&self, key: String) -> Option<String> {
        self.store.get(&key, PATIENCE).await.unwrap().map(|kv| String::from_utf8(kv.value).unwrap())
    }

    pub async fn record(&self) -> Record {
        Record::decode(&self.store.get(&self.keys.lease(), PATIENCE).await.unwrap().unwrap().value).unwrap()
    }
}

pub struct Node {
    pub name: String,
    pub nonce: u64,
    pub keeper: Arc<Keeper>,
    pub mirror: Mirror,
    pub faulty: Arc<Faulty>,
    pub clock: Clock,
    pub keys: Keys,
}

impl Node {
    pub fn lease(&self) -> Lease {
        self.keeper.lease(self.clock.now())
    }

    pub fn left(&self) -> Duration {
        self.keeper.until().map_or(Duration::ZERO, |until| self.clock.now().left_until(until))
    }

    pub fn held(&self) -> Held {
        match self.lease() {
            Lease::Mine(held) => held,
            other => panic!("{} does not hold the lease: {other:?}", self.name),
        }
    }

    /// Waits until the mirror shows what the store has, and lets the keeper see it.
    pub async fn look(&self, cluster: &Cluster) -> Lease {
        until("the mirror shows what the store has", async || {
            let listing = cluster.store.list(self.keys.prefix(), PATIENCE).await.unwrap();
            let snapshot = self.mirror.snapshot();
            let same = snapshot.as_of.is_some() && snapshot.keys.values().map(|seen| &seen.kv).eq(&listing.items);
            same.then(|| self.keeper.observe(&snapshot, self.clock.now()))
        })
        .await;
        self.lease()
    }

    pub async fn acquire_with(&self, cluster: &Cluster, state: Option<SyncState>) -> AcquireOutcome {
        let Lease::Vacant { record, .. } = self.lease() else { panic!("{}: {:?} is not vacant", self.name, self.lease()) };
        let sync = cluster.store.get(&self.keys.sync(), PATIENCE).await.unwrap();
        let revision = sync.as_ref().map_or(Revision(0), |kv| kv.mod_revision);
        let value = sync.map_or(b"{}".to_vec(), |kv| kv.value);
        let initialize = cluster.store.get(&self.keys.initialize(), PATIENCE).await.unwrap();
        let initialize = initialize.map_or(Revision(0), |kv| kv.mod_revision);
        self.keeper.acquire(record, SyncNow { revision, value, state, initialize }).await
    }

    pub async fn acquire(&self, cluster: &Cluster) -> AcquireOutcome {
        self.acquire_with(cluster, None).await
    }

    /// Takes the lease of a cluster that never had one.
    pub async fn lead(&self, cluster: &Cluster) -> Held {
        self.look(cluster).await;
        cluster.pass(seconds(61));
        assert!(self.keeper.confirm_vacant().await.unwrap());
        match self.acquire(cluster).await {
            AcquireOutcome::Won(held) => held,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    pub async fn renewed(&self) -> Held {
        match self.keeper.renew().await {
            RenewOutcome::Renewed(held) => held,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// An agent that comes up again under the same guard.
    pub fn restarted(&self, cluster: &Cluster) -> Self {
        cluster.node(&self.name, self.nonce)
    }
}
