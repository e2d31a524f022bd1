//! What the connection point is told about a cluster.
//!
//! Plain values, filled in by whoever watches the store. Addresses are addresses: the caller resolves host names, because an
//! authoritative server must not wait for another server.

use std::net::IpAddr;
use tanist_engine::{Epoch, Moment, Revision};

/// One cluster as the store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFace {
    /// The cluster's name, one label of the zone.
    pub scope: String,
    /// The newest revision of the store this was read at; the zone's serial follows it.
    pub revision: Revision,
    /// Who is primary.
    pub primary: PrimaryFace,
    /// Members that answer read-only queries now.
    pub replicas: Vec<Host>,
    /// All members, each under its own name.
    pub members: Vec<Host>,
}

/// A member and its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The member's name, one label of the zone.
    pub name: String,
    /// Where it says that it can be reached, as published: a host name or an address. It tells one entry point from another; what a
    /// host name resolves to may change.
    pub published: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What is known of the primary. Only `Proved` is ever answered without reservation: the published face has the holder and the epoch of
/// the lease record, and the record is fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrimaryFace {
    /// The store has not been read yet. Answered with SERVFAIL, so that a resolver asks another name server.
    Unknown,
    /// Nobody is proved writable: no face, or the lease record has a newer epoch than the face.
    Nobody {
        /// The epoch of the lease record, where there is one; no face of an older epoch is answered any more.
        epoch: Option<Epoch>,
    },
    /// Proved writable at its epoch, under a lease that runs.
    Proved {
        /// The member.
        host: Host,
        /// The epoch of lease record and face.
        epoch: Epoch,
        /// The end of the lease as far as this node knows. From then on the answer is the same as for `Lapsed`, without any further
        /// update; renewals move it forward.
        until: Moment,
    },
    /// The record was not renewed in time: the last known primary, no longer proved.
    Lapsed {
        /// The member.
        host: Host,
        /// The epoch of lease record and face.
        epoch: Epoch,
    },
    /// The holder has given the lease back, fenced or shut down: its epoch is over for good.
    Released {
        /// The epoch that was given back.
        epoch: Epoch,
    },
}
