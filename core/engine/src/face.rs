//! What the cluster shows: its primary, and each member.

use crate::{Endpoint, Epoch, Lsn, MemberName, Role, Storage, Timeline};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The cluster's face, `tanist/primary`: the endpoint that was proved writable at an epoch. Never deleted, believed only while the
/// lease record has the same holder and epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Face {
    /// The epoch it was proved at.
    pub epoch: Epoch,
    /// The primary.
    pub name: MemberName,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its timeline.
    pub timeline: Timeline,
}

/// What this node says of itself in its member key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFace {
    /// State of PostgreSQL.
    pub state: MemberState,
    /// Its role.
    pub role: Role,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// Its position; not by itself a reason to write the key anew.
    pub lsn: Option<Lsn>,
    /// Streaming from its upstream.
    pub streaming: bool,
    /// A primary that has made its checkpoint after promotion.
    pub checkpointed: bool,
    /// Its storage.
    #[serde(default)]
    pub storage: Storage,
    /// A standby that follows a leader: of which epoch. Its own WAL was found to be part of that leader's history before it was pointed
    /// at it; what still came from the leader before until then was not compared.
    #[serde(default)]
    pub follows: Option<Epoch>,
}

/// Patroni's words for the state of a member's PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the word it shows")]
pub enum MemberState {
    Initializing,
    CreatingReplica,
    Starting,
    Running,
    Streaming,
    Stopping,
    Stopped,
    Crashed,
    StartFailed,
    Unknown,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initializing => "initializing new cluster",
            Self::CreatingReplica => "creating replica",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Streaming => "streaming",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::StartFailed => "start failed",
            Self::Unknown => "unknown",
        })
    }
}
