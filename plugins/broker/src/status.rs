//! What REST, CLI and the demo can see of the broker.

use crate::protocol::{Action, Digest, Export, Import, Outcome, PluginId, Role};
use std::time::Duration;
use tanist_queue::Breaker;

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStatus {
    /// Which.
    pub plugin: PluginId,
    /// The version in its manifest.
    pub version: String,
    /// What the operator granted, `log` and `config` included.
    pub granted: Vec<Import>,
    /// Whether it can be called.
    pub load: LoadState,
    /// For a plugin that runs at the leader: this node is it and has published. Always true for the others.
    pub active: bool,
    /// The last event that was called for.
    pub last_event: Option<LastEvent>,
    /// How the last call ended, whatever it was for.
    pub last_outcome: Option<Outcome>,
    /// What the plugin, or the sandbox about it, had to say; with its standard error.
    pub last_words: Option<String>,
    /// How long it took.
    pub last_duration: Option<Duration>,
    /// Failed calls since the last success.
    pub retries: u32,
    /// Calls that succeeded, since the agent's start.
    pub delivered: u64,
    /// Calls that failed, since the agent's start.
    pub failed: u64,
    /// Whether it is left alone because it keeps failing.
    pub breaker: Breaker,
    /// Events that wait, the oldest first.
    pub pending: Vec<Action>,
    /// A call is under way.
    pub running: bool,
    /// How the journal is.
    pub journal: JournalState,
}

/// A plugin's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// It has everything.
    Current,
    /// It is being written.
    Behind,
    /// It could not be read or written; what must be delivered is in memory only.
    Problem(String),
}

/// Whether a plugin can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// The host is not there, or has not answered yet.
    Waiting,
    /// It can.
    Loaded {
        /// SHA-256 of the component.
        digest: Digest,
        /// What it exports.
        exports: Vec<Export>,
    },
    /// It cannot; the reason says what to do.
    Failed(String),
}

/// An event that was called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEvent {
    /// Which callback.
    pub action: Action,
    /// The role it told.
    pub role: Role,
    /// Its epoch.
    pub epoch: u64,
    /// Its sequence number.
    pub sequence: u64,
}

/// The plugin host process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostStatus {
    /// Its process id, while there is one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it was started again the last time.
    pub last_loss: Option<String>,
}

/// A call has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of which plugin.
    pub plugin: PluginId,
    /// For which callback; `None`: for `reconcile`.
    pub event: Option<LastEvent>,
    /// How.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
}
