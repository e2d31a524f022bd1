//! The tools of the checks.

use crate::{Compare, KeyValue, Op, Store, StoreError, Txn, TxnAnswer, Watch, WatchEvent};
use futures_util::StreamExt;
use std::{future::Future, sync::Arc, time::Duration};
use tanist_engine::Revision;
use thiserror::Error;

/// A call may take this long here; nothing is measured with it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A check the store did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{check}: {why}")]
pub struct Failure {
    /// Which.
    pub check: &'static str,
    /// What was wrong.
    pub why: String,
}

impl Failure {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { check: "", why: why.into() }
    }

    pub(super) fn of(self, check: &'static str) -> Self {
        Self { check, ..self }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(format!("unexpected: {error}"))
    }
}

/// Fails the check unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::conformance::check::Failure::new(format!($($why)+)));
        }
    };
}
pub(super) use ensure;

/// One check's prefix and its connections.
pub(super) struct Ground<'a> {
    connect: &'a (dyn Fn() -> Arc<dyn Store> + Send + Sync),
    pub store: Arc<dyn Store>,
    pub prefix: String,
}

impl<'a> Ground<'a> {
    pub(super) fn new(connect: &'a (dyn Fn() -> Arc<dyn Store> + Send + Sync), prefix: String) -> Self {
        Self { connect, store: connect(), prefix }
    }

    /// Another agent's connection.
    pub(super) fn other(&self) -> Arc<dyn Store> {
        (self.connect)()
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) async fn put(&self, name: &str, value: &str) -> Result<Revision, Failure> {
        Ok(write(&*self.store, vec![Op::put(self.key(name), value)]).await?.revision)
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<KeyValue>, Failure> {
        Ok(self.store.get(&self.key(name), PATIENCE).await?)
    }

    /// Waits until the key is gone.
    pub(super) async fn gone(&self, name: &str) -> Result<(), Failure> {
        within(async {
            while self.get(name).await?.is_some() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn watch(&self, from: Revision) -> Result<Watch, Failure> {
        Ok(self.store.watch(&self.prefix, from, PATIENCE).await?)
    }
}

/// Writes without a condition.
pub(super) async fn write(store: &dyn Store, then: Vec<Op>) -> Result<TxnAnswer, StoreError> {
    store.txn(Txn { then, ..Txn::default() }, PATIENCE).await
}

/// Writes under a condition.
pub(super) async fn write_if(store: &dyn Store, compare: Compare, then: Vec<Op>) -> Result<TxnAnswer, StoreError> {
    store.txn(Txn { compares: vec![compare], then, ..Txn::default() }, PATIENCE).await
}

/// The next changes of a watch; signs of life are passed over.
pub(super) async fn next(watch: &mut Watch) -> Result<(Revision, Vec<crate::Change>), Failure> {
    within(async {
        loop {
            match watch.next().await {
                Some(WatchEvent::Changes { revision, changes }) => return Ok((revision, changes)),
                Some(WatchEvent::Progress(_)) => {}
                other => return Err(Failure::new(format!("the watch ended: {other:?}"))),
            }
        }
    })
    .await
}

/// Fails when it takes unreasonably long.
pub(super) async fn within<T>(wait: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(3 * PATIENCE, wait).await.unwrap_or_else(|_| Err(Failure::new("did not happen in time")))
}
