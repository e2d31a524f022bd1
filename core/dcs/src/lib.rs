//! Lease stores behind one trait, and the leader lease once, above the trait.
//!
//! * [`Store`]: versioned keys, comparing transactions, a watch, keys that expire; stores are [`local`] and [`etcd`];
//! * [`Mirror`]: a copy of a cluster's keys that follows the store;
//! * [`lease`]: the record `tanist/lease` that everyone times for himself;
//! * [`conformance`]: what every store must do, as a suite that anybody's store can run; [`faulty`]: a store that loses answers.
//!
//! Deliberately absent: decisions (`tanist-engine`), and the meaning of Patroni's values (`tanist-patroni`).

#![forbid(unsafe_code)]

mod clock;
pub mod conformance;
mod error;
pub mod etcd;
pub mod faulty;
mod keys;
pub mod lease;
pub mod local;
mod mirror;
mod store;
mod trouble;

pub use clock::Clock;
pub use error::StoreError;
pub use keys::Keys;
pub use mirror::{Mirror, Mirrored, Snapshot};
pub use store::{Change, Compare, ExpiryId, KeyValue, Listing, MAX_VALUE, Op, Store, Txn, TxnAnswer, Watch, WatchEvent};
pub use trouble::Trouble;
