//! Bodies and rules of Patroni's REST API.
//!
//! The agent gathers what it knows, these types say how it is shown and which status code a load balancer gets. One rule is ours:
//! `/primary` and its other names answer 200 only for a server that was proved writable under a lease with margin left
//! (see [`status()`]).

mod cluster;
mod facts;
mod failsafe;
mod metrics;
mod node;
mod query;
mod restart;
mod status;
mod switchover;

pub use cluster::{ClusterBody, ClusterMember, ClusterRole};
pub use facts::{Facts, Standing};
pub use failsafe::{FailsafeRequest, OwnQuestion};
pub use metrics::{Metrics, OwnMetrics, PluginMetrics, SlotMetrics};
pub use node::{Identity, NodeBody, NodeState, ReplicationRow, Xlog};
pub use query::Query;
pub use restart::{RestartError, RestartRequest, RestartRole, RestartView};
pub use status::{HEALTH_PATHS, first_segment, is_health_path, status};
pub use switchover::{Candidate, Kind, Outcome, Refusal, RefusedSwitchover, SwitchoverRequest, SwitchoverView};
