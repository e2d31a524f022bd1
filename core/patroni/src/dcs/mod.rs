//! The keys of Patroni's layout, one file each: how their values are read, and how they are written.
//!
//! A value that tanist rewrites without a reason of its own (the acquiring transaction rewrites `/sync` as it was) is copied as bytes
//! and does not pass through here.

mod conn_url;
mod failover;
mod failsafe;
mod history;
mod initialize;
mod leader;
mod member;
mod status;
mod sync;

pub use conn_url::{conn_url, endpoint_of};
pub use failover::FailoverKey;
pub use failsafe::FailsafeKey;
pub use history::{HistoryKey, HistoryLine};
pub use initialize::InitializeKey;
pub use leader::LeaderKey;
pub use member::{IN_ARCHIVE_RECOVERY, MemberDetail, MemberIdentity, MemberKey};
pub use status::StatusKey;
pub use sync::SyncKey;

#[cfg(test)]
mod goldens;
