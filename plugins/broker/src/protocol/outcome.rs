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
