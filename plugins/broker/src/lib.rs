//! The agent's side of plugins: what is delivered to whom and when (`tanist-queue`), what survives a crash (the journals), what a plugin
//! may do ([`Grants`]), and the protocol to the process that runs them ([`protocol`]).
//!
//! `Broker::spawn` puts all of it on a thread of its own; [`BrokerHandle`] never waits for it. Deliberately absent: the sandbox
//! (in the plugin host) and the effects themselves (traits: [`DnsUpdater`], [`HttpSender`], implemented by the composition root).

#![forbid(unsafe_code)]

mod broker;
mod claim;
mod cluster;
mod compose;
mod config;
mod durable;
mod effects;
mod grants;
mod handle;
mod host;
mod http;
mod inbox;
mod journal;
mod leadership;
mod ledger;
mod manifest;
mod order;
mod plugin;
mod queue;
mod shared_ledger;
mod status;
#[cfg(test)]
mod testing;

pub mod protocol;

pub use broker::{Broker, BrokerError};
pub use cluster::{ClusterFace, EmissionContext};
pub use config::{BrokerConfig, HostCommand, PluginConfig, Tuning};
pub use effects::{DnsClaim, DnsFailure, DnsOutcome, DnsPresent, DnsTarget, DnsUpdater};
pub use grants::{DnsGrant, Grants, Permit, Standing};
pub use handle::{BrokerHandle, BrokerStatus};
pub use http::{HttpExchange, HttpFailure, HttpGrant, HttpSender, Url, UrlError};
pub use leadership::Leadership;
pub use ledger::{Certainty, Ledger, LedgerEntry};
pub use manifest::{
    API, DEFAULT_CPU_MS, DEFAULT_LOG_KIB, DEFAULT_MEMORY_MIB, DEFAULT_WALL_MS, Manifest, ManifestError, Runs, is_id,
};
pub use status::{HostStatus, JournalState, LastEvent, LoadState, Notice, PluginStatus};
pub use tanist_queue::{Breaker, OnFailure};
