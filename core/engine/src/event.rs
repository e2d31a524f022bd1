//! What plugins and callback scripts are told.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Patroni's five callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the word it shows")]
pub enum Callback {
    OnStart,
    OnStop,
    OnRestart,
    OnReload,
    OnRoleChange,
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnStart => "on_start",
            Self::OnStop => "on_stop",
            Self::OnRestart => "on_restart",
            Self::OnReload => "on_reload",
            Self::OnRoleChange => "on_role_change",
        })
    }
}

/// Role of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Writable under its own lease.
    Primary,
    /// In recovery.
    Replica,
    /// Was primary, was fenced, follows nobody yet.
    Demoted,
    /// No data directory.
    #[default]
    Uninitialized,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Demoted => "demoted",
            Self::Uninitialized => "uninitialized",
        })
    }
}

/// One callback to deliver. The agent adds what the engine does not know (members, addresses, sequence).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emission {
    /// Which.
    pub callback: Callback,
    /// This node's role now.
    pub role: Role,
    /// Its role before.
    pub previous: Role,
    /// The epoch it belongs to.
    pub epoch: crate::Epoch,
}
