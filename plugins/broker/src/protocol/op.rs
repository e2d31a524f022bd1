//! What a plugin may ask the agent to do for it, and the answers.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One host call that touches the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Which epoch is current, and how much lease is left here?
    Leadership,
    /// Make `name` point to exactly these addresses. A claim.
    DnsPoint {
        /// The name, with or without the trailing dot.
        name: String,
        /// All its addresses from now on; at least one.
        addresses: Vec<IpAddr>,
        /// Time to live of the records, in seconds.
        ttl: u32,
        /// The epoch in whose name it is done; that of the event.
        epoch: u64,
    },
    /// Read a record set from the authoritative server.
    DnsLookup {
        /// The name.
        name: String,
        /// Which records.
        kind: RecordKind,
    },
    /// Send requests, all at once.
    Http {
        /// At least one.
        requests: Vec<HttpRequest>,
    },
}

/// One HTTP request. Credentials and signature are added by the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// It is given up after so long; nothing: when the call must end.
    pub timeout_ms: Option<u32>,
    /// It draws clients to this node in the name of this epoch, so it is checked like a claim; nothing: it does not.
    pub claim: Option<u64>,
}

/// The answer to an HTTP request, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Kind of a DNS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is its name in DNS")]
pub enum RecordKind {
    A,
    Aaaa,
    Txt,
}

/// The answer to an [`Op`] that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Op::Leadership`].
    Leadership(LeadershipState),
    /// To [`Op::DnsPoint`].
    DnsPoint(DnsPointed),
    /// To [`Op::DnsLookup`]; empty: there is none.
    DnsLookup(Vec<DnsRecord>),
    /// To [`Op::Http`], in the order of the requests.
    Http(Vec<Result<HttpResponse, Denial>>),
}

/// Leadership as the agent sees it at the moment of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadershipState {
    /// The newest epoch known here.
    pub epoch: u64,
    /// This node's lease ends in so many milliseconds; nothing: it holds none.
    pub lease_left_ms: Option<u64>,
}

/// How a claim of a DNS name ended when it reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsPointed {
    /// The record was changed, and read back.
    Applied,
    /// It was so already, at this epoch.
    AlreadyThere,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsRecord {
    /// A or AAAA.
    Address {
        /// The address.
        address: IpAddr,
        /// Its time to live.
        ttl: u32,
    },
    /// TXT.
    Text {
        /// The joined character strings.
        text: String,
        /// Its time to live.
        ttl: u32,
    },
}

/// Why an [`Op`] was not carried out, or what is known instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Denial {
    /// The operator has not granted it.
    #[error("{what} is not granted; add to the configuration: {remedy}")]
    NotGranted {
        /// What was asked for.
        what: String,
        /// The exact configuration line that grants it.
        remedy: String,
    },
    /// The claim is made for another epoch than the current one.
    #[error("epoch {asked} is not the current one ({current})")]
    StaleEpoch {
        /// The epoch of the claim.
        asked: u64,
        /// The newest epoch known.
        current: u64,
    },
    /// This node does not hold the lease.
    #[error("this node does not hold the lease")]
    NotLeader,
    /// The primary was not yet proved writable at this epoch: nothing may point to it.
    #[error("no endpoint has been proved writable at epoch {epoch}")]
    NotProved {
        /// The epoch of the claim.
        epoch: u64,
    },
    /// The lease ends before the call must.
    #[error("{left_ms} ms of lease are left, the call may take {needed_ms} ms")]
    LeaseTooShort {
        /// What is left of the lease.
        left_ms: u64,
        /// What is left of the call.
        needed_ms: u64,
    },
    /// The server has seen a newer epoch: this side is stale.
    #[error("the server holds the newer epoch {newer_epoch}")]
    Fenced {
        /// That epoch.
        newer_epoch: u64,
    },
    /// The call's time is over.
    #[error("the call has expired")]
    Expired,
    /// The arguments make no sense.
    #[error("{0}")]
    Invalid(String),
    /// The call has asked for too much.
    #[error("more than {limit} {what} in one call")]
    TooMany {
        /// Of what.
        what: String,
        /// How many are allowed.
        limit: u32,
    },
    /// The other side refused.
    #[error("refused: {0}")]
    Refused(String),
    /// Sent, and the answer was lost: it may or may not have happened.
    #[error("sent, but the outcome is unknown: {0}")]
    Unknown(String),
    /// Not sent.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The agent was built or composed without it.
    #[error("{0} is not available in this agent")]
    Unavailable(String),
}
