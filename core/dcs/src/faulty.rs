//! A store that loses requests and answers, for tests: what a bad network does, on purpose and one call at a time.

use crate::{ExpiryId, Listing, Store, StoreError, Txn, TxnAnswer, Watch};
use async_trait::async_trait;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tanist_engine::Revision;
use tokio::sync::Semaphore;

/// What happens to the next calls.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The request is carried out, the answer is lost.
    LoseAnswer,
    /// The request is lost, but the caller cannot know.
    LoseRequest,
    /// The store cannot be reached.
    CutOff,
    /// The request is carried out, the answer waits until [`Faulty::let_go`].
    HoldAnswer,
    /// The request itself waits until [`Faulty::let_go`]; then it is carried out and answered.
    HoldRequest,
}

/// A store with faults in front of it.
pub struct Faulty {
    inner: Arc<dyn Store>,
    fault: Mutex<Fault>,
    gate: Semaphore,
    held: AtomicU64,
    calls: AtomicU64,
}

impl Faulty {
    /// In front of `inner`, without a fault yet.
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault: Mutex::default(),
            gate: Semaphore::new(0),
            held: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        })
    }

    /// From now on calls suffer this.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Lets one held call go on.
    pub fn let_go(&self) {
        self.gate.add_permits(1);
    }

    /// Calls that are or were held, so that a test can wait until its call is.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    /// Calls made so far, watches not counted.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn hold(&self) {
        self.held.fetch_add(1, Ordering::SeqCst);
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
    }

    async fn pass<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match fault {
            Fault::None => call.await,
            Fault::LoseAnswer => {
                let _ = call.await;
                Err(StoreError::Unknown("the answer was lost".to_owned()))
            }
            Fault::LoseRequest => Err(StoreError::Unknown("the request was lost".to_owned())),
            Fault::CutOff => Err(StoreError::Unavailable("cut off".to_owned())),
            Fault::HoldAnswer => {
                let answer = call.await;
                self.hold().await;
                answer
            }
            Fault::HoldRequest => {
                self.hold().await;
                call.await
            }
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn list(&self, prefix: &str, timeout: Duration) -> Result<Listing, StoreError> {
        self.pass(self.inner.list(prefix, timeout)).await
    }

    async fn txn(&self, txn: Txn, timeout: Duration) -> Result<TxnAnswer, StoreError> {
        self.pass(self.inner.txn(txn, timeout)).await
    }

    async fn watch(&self, prefix: &str, from: Revision, timeout: Duration) -> Result<Watch, StoreError> {
        let cut_off = !matches!(*self.fault.lock().unwrap_or_else(PoisonError::into_inner), Fault::None);
        if cut_off { Err(StoreError::Unavailable("cut off".to_owned())) } else { self.inner.watch(prefix, from, timeout).await }
    }

    async fn grant(&self, ttl: Duration, timeout: Duration) -> Result<ExpiryId, StoreError> {
        self.pass(self.inner.grant(ttl, timeout)).await
    }

    async fn keep_alive(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError> {
        self.pass(self.inner.keep_alive(id, timeout)).await
    }

    async fn revoke(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError> {
        self.pass(self.inner.revoke(id, timeout)).await
    }
}
