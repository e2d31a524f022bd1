//! The DNS connection point.
//!
//! Two halves that share nothing but the form in which an epoch is written into a TXT record:
//!
//! - An **authoritative server**. [`ClusterFace`] is what the agent knows of a cluster; [`render`] turns faces into an immutable
//!   [`Snapshot`] of the zone; [`Server`] answers queries from the newest snapshot on a thread and a runtime of its own, so that a flood of
//!   queries cannot touch the lease.
//! - An **update client** ([`update`]) that moves a name in somebody else's zone with one atomic RFC 2136 message, fenced by the
//!   epoch in a TXT record.
//!
//! Deliberately absent: the store, the lease and its clock (the caller passes a [`Clock`]), configuration files, and any decision about who
//! is primary. Zone transfer, NOTIFY, DNSSEC, DoT and DoQ are not served.

#![forbid(unsafe_code)]

mod answer;
mod cluster;
mod ecs;
mod face;
mod primary;
mod respond;
mod serial;
mod serve;
mod snapshot;
pub mod update;
mod zone;

pub use face::{ClusterFace, Host, PrimaryFace};
pub use respond::{Transport, respond};
pub use serve::{Clock, Limits, Server, ServerError, ServerHandle, ServerStats};
pub use snapshot::{Problem, Snapshot, render};
pub use zone::{NameServer, Ttls, Unproved, Zone, ZoneConfig, ZoneError};
