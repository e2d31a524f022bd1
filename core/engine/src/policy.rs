//! What the operator wants: the dynamic configuration and this node's tags, in the engine's words.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Rules of the cluster and of this node. Converted by the agent from patroni.yml and the store's `/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Lifetime of the lease without renewal.
    pub ttl: Duration,
    /// Upper bound between two decisions.
    pub loop_wait: Duration,
    /// Limit for store calls off the lease path.
    pub retry_timeout: Duration,
    /// A replica further behind the last known position of the leader does not take part in the race (asynchronous mode), bytes.
    pub maximum_lag_on_failover: u64,
    /// Synchronous replication.
    pub synchronous: SyncMode,
    /// How long a crashed primary may take to come up again before its lease is given up. Set: Patroni's meaning (zero: fail over
    /// at once when a candidate is there). Not set: a synchronous cluster with a confirmed candidate fails over at once, an
    /// asynchronous one restarts in place.
    pub primary_start_timeout: Option<Duration>,
    /// How long a fast shutdown may take before it turns into an immediate one; zero: without limit.
    pub primary_stop_timeout: Duration,
    /// What becomes of data that have left the cluster's history.
    pub diverged: Diverged,
    /// Failsafe mode: while the store is away the primary stays as long as every member agrees to wait.
    #[serde(default)]
    pub failsafe: bool,
    /// This node's own tags.
    pub tags: Tags,
}

impl Policy {
    /// Renewals are sent this often: a fifth of ttl.
    pub fn renew_every(&self) -> Duration {
        self.ttl / 5
    }
}

/// What becomes of data that have left the cluster's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    /// They are rewound to where they left it, where that is possible (`use_pg_rewind`).
    pub rewind: bool,
    /// Where they are not rewound they are copied anew; otherwise they are kept for the operator
    /// (`remove_data_directory_on_diverged_timelines`).
    pub copy: bool,
    /// Where they could not be rewound they are copied anew; otherwise they are kept
    /// (`remove_data_directory_on_rewind_failure`).
    pub copy_after_failure: bool,
}

impl Default for Diverged {
    fn default() -> Self {
        Self { rewind: false, copy: true, copy_after_failure: true }
    }
}

/// Synchronous replication, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncMode {
    /// Asynchronous: the last writes before a failover may be lost.
    Off,
    /// Commits wait for all of a few chosen standbys, each of which may be promoted.
    On {
        /// Without a standby nothing is acknowledged. Otherwise the primary continues alone, and then only it may lead.
        strict: bool,
        /// How many standbys are chosen, where there are so many (`synchronous_node_count`); zero counts as one.
        node_count: u32,
    },
    /// Commits wait for any few of all standbys; so many of them have to be asked before one is promoted that each acknowledged
    /// write is on one of those.
    Quorum {
        /// As in `On`.
        strict: bool,
        /// How many standbys a commit waits for, where there are so many; zero counts as one.
        node_count: u32,
    },
}

impl SyncMode {
    /// Whether acknowledged writes must survive.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    /// Whether nothing may be acknowledged without a standby.
    pub fn is_strict(self) -> bool {
        matches!(self, Self::On { strict: true, .. } | Self::Quorum { strict: true, .. })
    }

    /// For how many standbys a commit shall wait.
    pub fn node_count(self) -> u32 {
        match self {
            Self::Off => 0,
            Self::On { node_count, .. } | Self::Quorum { node_count, .. } => node_count.max(1),
        }
    }
}

/// Patroni's tags of a node, as far as the engine uses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Never lead.
    pub nofailover: bool,
    /// Never be a synchronous standby.
    pub nosync: bool,
    /// Higher wins among equal positions; zero or below: never lead.
    pub failover_priority: Option<i32>,
}

impl Tags {
    /// Whether a node with these tags may lead.
    pub fn may_lead(self) -> bool {
        !self.nofailover && self.failover_priority.is_none_or(|priority| priority > 0)
    }

    /// What decides among equals.
    pub fn priority(self) -> i32 {
        self.failover_priority.unwrap_or(1)
    }
}
