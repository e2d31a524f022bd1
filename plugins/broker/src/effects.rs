//! The effects a plugin can cause, as traits. The composition root implements them; the broker decides when they may run.

use crate::protocol::{DnsRecord, RecordKind};
use async_trait::async_trait;
use std::{net::IpAddr, time::Duration};

/// A zone on a server, and the key to change it with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsTarget {
    /// `address:port` of the primary server.
    pub server: String,
    /// The zone.
    pub zone: String,
    /// The name of the TSIG key in the agent's configuration.
    pub key: Option<String>,
}

/// "`name` has exactly these addresses", in the name of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsClaim {
    /// Where.
    pub target: DnsTarget,
    /// The name, in lower case and without a dot at the end.
    pub name: String,
    /// Its addresses: at least one, sorted.
    pub addresses: Vec<IpAddr>,
    /// Time to live, in seconds.
    pub ttl: u32,
    /// The epoch; the server must refuse the change when it has seen a newer one.
    pub epoch: u64,
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsOutcome {
    /// Changed, and read back.
    Applied,
    /// Was so already, with this epoch.
    AlreadyThere,
    /// The server has seen a newer epoch; nothing was changed.
    Fenced {
        /// That epoch.
        newer_epoch: u64,
    },
    /// The server said no; nothing was changed.
    Refused(String),
    /// Sent, and the answer was lost. It is read back before the next claim of the name.
    Unknown(String),
    /// Certainly not sent.
    Unreachable(String),
}

/// What the server holds for a name now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsPresent {
    /// The epoch of the last change; `None`: no epoch was ever recorded.
    pub epoch: Option<u64>,
    /// Its addresses, sorted.
    pub addresses: Vec<IpAddr>,
}

/// Why a name could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsFailure {
    /// The server said no.
    #[error("{0}")]
    Refused(String),
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
}

/// Changes and reads names at an authoritative server. Every method ends within `within`; the broker holds it to that.
#[async_trait]
pub trait DnsUpdater: Send + Sync {
    /// Carries out a claim in one atomic message that compares the epoch.
    async fn point(&self, claim: DnsClaim, within: Duration) -> DnsOutcome;

    /// Reads addresses and epoch of a name, to find out what became of a claim whose answer was lost.
    async fn present(&self, target: DnsTarget, name: String, within: Duration) -> Result<DnsPresent, DnsFailure>;

    /// Reads records of a name.
    async fn lookup(
        &self,
        target: DnsTarget,
        name: String,
        kind: RecordKind,
        within: Duration,
    ) -> Result<Vec<DnsRecord>, DnsFailure>;
}
