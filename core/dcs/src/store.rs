//! The one trait over every lease store, written from etcd's semantics: revisions, comparing transactions, keys that expire,
//! a watch from a revision, answers that get lost.
//!
//! Deliberately absent: anything about leases, leaders or PostgreSQL ([`crate::lease`]), and any default time-out: every call says
//! how long it may take.

use crate::StoreError;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tanist_engine::Revision;

/// Largest value of one key; etcd's default request limit is 1.5 MiB.
pub const MAX_VALUE: usize = 1 << 20;

/// One key as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// Revision of the write that created it (it was absent before).
    pub create_revision: Revision,
    /// Revision of its last write.
    pub mod_revision: Revision,
    /// The expiry it hangs on.
    pub expiry: Option<ExpiryId>,
}

/// Names an expiry: keys that hang on it are deleted when it is not kept alive. For Patroni's eyes; our lease does not rest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExpiryId(pub i64);

/// All keys under a prefix at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The store's revision the list was read at.
    pub revision: Revision,
    /// The keys, in order.
    pub items: Vec<KeyValue>,
}

/// One condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    /// The key does not exist.
    Absent(String),
    /// The key's last write has this revision (zero: absent).
    ModRevision(String, Revision),
    /// The key was created by the write of this revision (zero: absent).
    CreateRevision(String, Revision),
    /// The key exists and has this value.
    Value(String, Vec<u8>),
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Read a key.
    Get(String),
    /// Write a key.
    Put {
        /// The key.
        key: String,
        /// Its new value.
        value: Vec<u8>,
        /// Hang it on this expiry, or on none.
        expiry: Option<ExpiryId>,
    },
    /// Delete a key; no error when it is absent.
    Delete(String),
}

impl Op {
    /// Writes a key that does not expire.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into(), expiry: None }
    }
}

/// A transaction: when every comparison holds, all of `then`, else all of `otherwise`, at one revision. No key is written twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// The conditions.
    pub compares: Vec<Compare>,
    /// What is done when all hold.
    pub then: Vec<Op>,
    /// What is done when one does not.
    pub otherwise: Vec<Op>,
}

/// The answer to a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnAnswer {
    /// All conditions held.
    pub succeeded: bool,
    /// The store's revision after it; when it wrote something, the revision of that write.
    pub revision: Revision,
    /// What the `Get`s of the branch that was taken found, in their order.
    pub reads: Vec<Option<KeyValue>>,
}

/// One change of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Written.
    Put(KeyValue),
    /// Deleted or expired.
    Delete {
        /// The key.
        key: String,
    },
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(kv) => &kv.key,
            Self::Delete { key } => key,
        }
    }
}

/// One message of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// All changes of one revision under the prefix. Revisions only grow, none is left out, none comes twice.
    Changes {
        /// The revision.
        revision: Revision,
        /// Its changes.
        changes: Vec<Change>,
    },
    /// A sign of life; every change up to this revision has been delivered.
    Progress(Revision),
    /// The changes since the asked revision are not kept any more: list again. The last message.
    Compacted,
    /// The watch has ended, nothing is known about what comes next: watch or list again. The last message.
    Lost(String),
}

/// A running watch; dropping it ends it.
pub type Watch = BoxStream<'static, WatchEvent>;

/// A lease store. Calls may be made at the same time. Reads are linearizable. A call that took longer than its `timeout` is
/// [`StoreError::Unknown`].
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads one key.
    async fn get(&self, key: &str, timeout: Duration) -> Result<Option<KeyValue>, StoreError> {
        let read = Txn { then: vec![Op::Get(key.to_owned())], ..Txn::default() };
        Ok(self.txn(read, timeout).await?.reads.into_iter().next().flatten())
    }

    /// Reads all keys that begin with `prefix`.
    async fn list(&self, prefix: &str, timeout: Duration) -> Result<Listing, StoreError>;

    /// Carries out a transaction. Never sent twice unless the first sending surely did not land.
    async fn txn(&self, txn: Txn, timeout: Duration) -> Result<TxnAnswer, StoreError>;

    /// Watches the keys that begin with `prefix`, every change from revision `from` on (inclusive). `timeout` is for the beginning of
    /// the watch.
    async fn watch(&self, prefix: &str, from: Revision, timeout: Duration) -> Result<Watch, StoreError>;

    /// Makes an expiry that ends `ttl` (rounded up to seconds) after it was last kept alive.
    async fn grant(&self, ttl: Duration, timeout: Duration) -> Result<ExpiryId, StoreError>;

    /// Keeps an expiry alive; [`StoreError::ExpiryGone`] when it is over.
    async fn keep_alive(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError>;

    /// Ends an expiry now and deletes its keys.
    async fn revoke(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError>;
}
