//! The event and the view that a plugin is given.
//!
//! One record for every callback, so that nobody has to ask "was this a real failover?". The names are those of the WIT package.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a later version may add without a new record: name and value.
pub type Attributes = Vec<(String, String)>;

/// Which callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the word it shows")]
pub enum Action {
    OnStart,
    OnStop,
    OnRestart,
    OnReload,
    OnRoleChange,
}

impl Action {
    /// Patroni's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnStart => "on_start",
            Self::OnStop => "on_stop",
            Self::OnRestart => "on_restart",
            Self::OnReload => "on_reload",
            Self::OnRoleChange => "on_role_change",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Role of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the word it shows")]
pub enum Role {
    Primary,
    Replica,
    Demoted,
    #[default]
    Uninitialized,
}

impl Role {
    /// The word scripts and plugins see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Demoted => "demoted",
            Self::Uninitialized => "uninitialized",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Host or address where its PostgreSQL listens; empty while not told.
    pub host: String,
    /// And the port; 0 while not told.
    pub port: u16,
    /// Its role.
    pub role: Role,
    /// State of its PostgreSQL in Patroni's words ("running", "streaming", …).
    pub state: String,
    /// Bytes behind the primary, where known.
    pub lag: Option<u64>,
    /// Its site; empty: none configured.
    pub site: String,
    /// Its tags.
    pub tags: Attributes,
}

/// The endpoint that was proved writable, and when (at which epoch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primary {
    /// The member's name.
    pub name: String,
    /// Host or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The epoch of the proof.
    pub epoch: u64,
    /// Its timeline.
    pub timeline: u32,
}

/// What happened to this node: the argument of a callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The cluster's name (Patroni's scope).
    pub cluster: String,
    /// This node.
    pub node: String,
    /// The fencing token it belongs to; below 2^53.
    pub epoch: u64,
    /// Counts this node's events; survives the agent's restarts.
    pub sequence: u64,
    /// The same for every delivery of the same event.
    pub idempotency_key: String,
    /// What happened.
    pub action: Action,
    /// This node's role now.
    pub role: Role,
    /// Its role before.
    pub previous_role: Role,
    /// Who leads now.
    pub leader: Option<String>,
    /// Who led before, when it is somebody else.
    pub previous_leader: Option<String>,
    /// The timeline.
    pub timeline: Option<u32>,
    /// The WAL position, where known.
    pub lsn: Option<u64>,
    /// The members.
    pub members: Vec<Member>,
    /// Why, in words.
    pub cause: String,
    /// Nothing shall be changed; effects are only to be told.
    pub dry_run: bool,
    /// More.
    pub attributes: Attributes,
}

/// The attribute of a release: who calls for it, on behalf of the event's node.
const RELEASED_BY: &str = "released-by";

impl Event {
    /// The change of the role that this event shows as a fact.
    pub(crate) fn as_role_change(&self) -> Self {
        Self { action: Action::OnRoleChange, idempotency_key: format!("{}/missed", self.idempotency_key), ..self.clone() }
    }

    /// This event as one of `owner`, which cannot be asked any more, called for by `leader`.
    pub(crate) fn released_by(mut self, owner: &str, leader: &str) -> Self {
        owner.clone_into(&mut self.node);
        self.attributes.push((RELEASED_BY.to_owned(), leader.to_owned()));
        self
    }

    /// The node on whose behalf something is released; nothing: an event of the node that calls.
    pub(crate) fn released_for(&self) -> Option<&str> {
        self.attributes.iter().any(|(name, _)| name == RELEASED_BY).then_some(self.node.as_str())
    }
}

/// What the cluster looks like: the argument of `reconcile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The cluster's name (Patroni's scope).
    pub cluster: String,
    /// This node.
    pub node: String,
    /// The fencing token of the present lease; below 2^53.
    pub epoch: u64,
    /// Counts views and events together.
    pub sequence: u64,
    /// Names this call of `reconcile`.
    pub idempotency_key: String,
    /// This node's role.
    pub role: Role,
    /// Who holds the lease.
    pub leader: Option<String>,
    /// Who held it before, when it is somebody else.
    pub previous_leader: Option<String>,
    /// The endpoint proved writable at `epoch`; nothing until it is.
    pub primary: Option<Primary>,
    /// The WAL position of the primary, where known.
    pub lsn: Option<u64>,
    /// The members.
    pub members: Vec<Member>,
    /// Why it is called: "attach", "face", "failure", "interval".
    pub cause: String,
    /// Nothing shall be changed; effects are only to be told.
    pub dry_run: bool,
    /// More.
    pub attributes: Attributes,
}
