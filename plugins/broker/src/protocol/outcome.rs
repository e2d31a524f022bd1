//! How calls end.

use serde::{Deserialize, Serialize};

/// How a call ended. Every breach of a limit has its own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done.
    Ok,
    /// The plugin says that it failed.
    Plugin(PluginError),
    /// The plugin does not export what was called. Nothing to do, not a failure.
    NotExported,
    /// No plugin of that id is loaded.
    NotLoaded,
    /// It trapped.
    Trap {
        /// How.
        kind: TrapKind,
        /// The runtime's words.
        message: String,
    },
    /// It used up its computing time.
    CpuExceeded,
    /// It used up its wall time.
    WallExceeded,
    /// It wanted more memory than it may have.
    MemoryExceeded,
    /// Too many bytes, log lines or requests.
    BudgetExceeded(String),
    /// It called `exit`; never a success, whatever the code.
    Exited {
        /// The code.
        code: i32,
    },
    /// Cancelled by the agent.
    Cancelled,
    /// The host has a problem of its own.
    Host(String),
}

impl Outcome {
    /// One word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Plugin(PluginError::Transient(_)) => "transient",
            Self::Plugin(PluginError::Permanent(_)) => "permanent",
            Self::Plugin(PluginError::Fenced(_)) => "fenced",
            Self::Plugin(PluginError::Other(_)) => "error",
            Self::NotExported => "not-exported",
            Self::NotLoaded => "not-loaded",
            Self::Trap { .. } => "trap",
            Self::CpuExceeded => "cpu-exceeded",
            Self::WallExceeded => "wall-exceeded",
            Self::MemoryExceeded => "memory-exceeded",
            Self::BudgetExceeded(_) => "budget-exceeded",
            Self::Exited { .. } => "exited",
            Self::Cancelled => "cancelled",
            Self::Host(_) => "host-failed",
        }
    }

    /// What there is to say about it: the plugin's own words, or the sandbox's.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Plugin(error) => Some(error.to_string()),
            Self::Trap { kind, message } => Some(format!("{kind:?}: {message}")),
            Self::BudgetExceeded(text) | Self::Host(text) => Some(text.clone()),
            Self::Exited { code } => Some(format!("it called exit({code})")),
            Self::Ok
            | Self::NotExported
            | Self::NotLoaded
            | Self::CpuExceeded
            | Self::WallExceeded
            | Self::MemoryExceeded
            | Self::Cancelled => None,
        }
    }
}

/// A plugin's own error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PluginError {
    /// Worth another attempt.
    #[error("{0}")]
    Transient(String),
    /// Another attempt will not help until something changes.
    #[error("{0}")]
    Permanent(String),
    /// A newer epoch was found: this side is stale.
    #[error("a newer epoch is known: {0}")]
    Fenced(u64),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Kind of a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum TrapKind {
    Unreachable,
    MemoryOutOfBounds,
    StackOverflow,
    TableOutOfBounds,
    Arithmetic,
    Other,
}
