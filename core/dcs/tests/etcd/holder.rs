//! A node that holds the lease on the real clock, renews it as the engine paces it, and measures how near it came to its end.

use crate::support::until;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tanist_dcs::{
    Clock, Keys, Mirror, Store, StoreError,
    lease::{AcquireOutcome, Keeper, RenewOutcome, SyncNow},
};
use tanist_engine::{Epoch, Lease, Revision};
use tokio::task::JoinHandle;

/// A node with a mirror of its own.
pub struct Node {
    pub keeper: Arc<Keeper>,
    pub mirror: Mirror,
    clock: Clock,
}

impl Node {
    pub fn new(store: Arc<dyn Store>, name: &str, ttl: Duration) -> Self {
        let (keys, clock) = (Keys::new("service", "main"), Clock::system());
        let mirror = Mirror::spawn(store.clone(), keys.prefix().to_owned(), clock.clone(), ttl / 5);
        let keeper = Arc::new(Keeper::new(store, keys, name.into(), 1, ttl, clock.clone()));
        Self { keeper, mirror, clock }
    }

    /// One look as the agent's loop takes it; takes the lease when it is vacant.
    pub async fn try_to_lead(&self) -> Option<Epoch> {
        self.keeper.observe(&self.mirror.snapshot(), self.clock.now());
        if self.keeper.wants_confirmation(self.clock.now()) {
            // Not known is not vacant: looked at again.
            let _vacant = self.keeper.confirm_vacant().await;
        }
        let Lease::Vacant { record, .. } = self.keeper.lease(self.clock.now()) else { return None };
        let sync = self.mirror.snapshot().get(&self.keeper.keys().sync()).map(|seen| seen.kv.clone());
        let revision = sync.as_ref().map_or(Revision(0), |kv| kv.mod_revision);
        let value = sync.map_or(b"{}".to_vec(), |kv| kv.value);
        match self.keeper.acquire(record, SyncNow { revision, value, state: None, initialize: Revision(0) }).await {
            AcquireOutcome::Won(held) => Some(held.epoch),
            _ => None,
        }
    }

    fn left(&self) -> Duration {
        self.keeper.until().map_or(Duration::ZERO, |until| self.clock.now().left_until(until))
    }
}

/// A node that leads and renews until told to end.
pub struct Holder {
    pub node: Arc<Node>,
    pub epoch: Epoch,
    least: Arc<AtomicU64>,
    failure: Arc<std::sync::Mutex<Option<StoreError>>>,
    renewed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Holder {
    pub async fn start(store: Arc<dyn Store>, ttl: Duration) -> Self {
        let node = Arc::new(Node::new(store, "a", ttl));
        let epoch = until("the lease is taken", async || node.try_to_lead().await).await;
        let (least, failure) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(std::sync::Mutex::new(None)));
        let renewed = Arc::new(AtomicU64::new(0));
        let renewals = tokio::spawn({
            let (node, least, failure, renewed) = (node.clone(), least.clone(), failure.clone(), renewed.clone());
            async move {
                loop {
                    let outcome = node.keeper.renew().await;
                    match outcome {
                        RenewOutcome::Renewed(_) => {
                            *failure.lock().unwrap() = None;
                            renewed.fetch_add(1, Ordering::SeqCst);
                        }
                        RenewOutcome::Failed(error) => {
                            *failure.lock().unwrap() = Some(error);
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        RenewOutcome::Lost => return least.store(0, Ordering::SeqCst),
                    }
                    let Lease::Mine(held) = node.keeper.lease(node.clock.now()) else { return least.store(0, Ordering::SeqCst) };
                    let due = held.attempted + ttl / 5;
                    tokio::time::sleep(due.since(node.clock.now().boot)).await;
                }
            }
        });
        let alive = tokio::spawn({
            let node = node.clone();
            async move { match node.keeper.keep_expiry_alive().await {} }
        });
        let gauge = tokio::spawn({
            let (node, least) = (node.clone(), least.clone());
            async move {
                loop {
                    least.fetch_min(u64::try_from(node.left().as_millis()).unwrap(), Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        });
        Self { node, epoch, least, failure, renewed, tasks: vec![renewals, alive, gauge] }
    }

    /// Why the last renewal failed, if it did.
    pub fn failure(&self) -> Option<StoreError> {
        self.failure.lock().unwrap().clone()
    }

    /// Waits for a renewal that began after this call.
    pub async fn renews(&self) {
        let enough = self.renewed.load(Ordering::SeqCst) + 2;
        until("the lease is renewed", async || (self.renewed.load(Ordering::SeqCst) >= enough).then_some(())).await;
    }

    /// What was least left of the lease since the last question. Fails the test when the lease was lost.
    pub fn least(&self) -> Duration {
        let least = self.least.swap(u64::MAX, Ordering::SeqCst);
        assert!(least > 0 && !self.tasks[0].is_finished(), "the lease was lost");
        Duration::from_millis(least.min(u64::try_from(self.node.left().as_millis()).unwrap()))
    }

    /// Ends as a node whose power is cut.
    pub fn vanish(self) {}

    /// Ends; what was least left.
    pub fn end(self) -> Duration {
        self.least()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
