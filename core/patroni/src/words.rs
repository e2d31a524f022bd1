//! Patroni's words for roles and states, and what they mean to the engine.

use tanist_engine::{MemberState, Role, Storage};

/// The engine's role for Patroni's word; `None` for a word Patroni does not have.
///
/// `promoted` (a promotion was asked for) and `standby_leader` are servers in recovery: nobody may be sent there to write, so they
/// are replicas here.
pub fn role_from_word(word: &str) -> Option<Role> {
    match word {
        "primary" | "master" => Some(Role::Primary),
        "replica" | "promoted" | "standby_leader" => Some(Role::Replica),
        "demoted" => Some(Role::Demoted),
        "uninitialized" => Some(Role::Uninitialized),
        _ => None,
    }
}

/// The engine's state for Patroni's word. What Patroni may yet invent is [`MemberState::Unknown`], never an error: a peer of a later
/// release must stay visible.
pub fn state_from_word(word: &str) -> MemberState {
    match word {
        "initializing new cluster" | "running custom bootstrap script" | "starting after custom bootstrap" => {
            MemberState::Initializing
        }
        "creating replica" => MemberState::CreatingReplica,
        "starting" | "restarting" => MemberState::Starting,
        "running" => MemberState::Running,
        "streaming" => MemberState::Streaming,
        "stopping" => MemberState::Stopping,
        "stopped" => MemberState::Stopped,
        "crashed" => MemberState::Crashed,
        "start failed" | "restart failed" | "initdb failed" | "custom bootstrap failed" => MemberState::StartFailed,
        _ => MemberState::Unknown,
    }
}

/// Patroni's word for the state of a server. Streaming is no state of its own there: such a server is `running`, and a second field,
/// `replication_state`, says the rest.
pub fn state_word(state: MemberState) -> &'static str {
    match state {
        MemberState::Initializing => "initializing new cluster",
        MemberState::CreatingReplica => "creating replica",
        MemberState::Starting => "starting",
        MemberState::Running | MemberState::Streaming => "running",
        MemberState::Stopping => "stopping",
        MemberState::Stopped => "stopped",
        MemberState::Crashed => "crashed",
        MemberState::StartFailed => "start failed",
        MemberState::Unknown => "unknown",
    }
}
/// What is wrong with a storage; nothing is said of a good one. Patroni ignores it.
pub fn storage_word(storage: Storage) -> Option<&'static str> {
    match storage {
        Storage::Good => None,
        Storage::Full => Some("full"),
        Storage::Broken => Some("broken"),
    }
}

/// The same read. A word that is not known is nothing good.
pub fn storage_from_word(word: Option<&str>) -> Storage {
    match word {
        None | Some("good") => Storage::Good,
        Some("broken") => Storage::Broken,
        Some(_) => Storage::Full,
    }
}
