//! What a health check is answered from: a snapshot that the handler takes when the request arrives.

use crate::TagMap;
use std::time::Duration;
use tanist_engine::{Lsn, MemberState, Role};

/// The lease as this node holds it at the moment of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Not held here, or over.
    #[default]
    None,
    /// Held, but so close to its end that the fence may begin: no new client should come.
    Late,
    /// Held, and now < until − fence budget.
    Firm,
}

/// Everything a status code depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The lease.
    pub standing: Standing,
    /// This node's PostgreSQL was proved writable at the epoch of the held lease.
    pub proved: bool,
    /// State of PostgreSQL.
    pub state: MemberState,
    /// Its role as it runs: in recovery or not.
    pub role: Role,
    /// Streaming from its upstream.
    pub streaming: bool,
    /// Of a standby: received up to here.
    pub received: Option<Lsn>,
    /// Of a standby: replayed up to here.
    pub replayed: Option<Lsn>,
    /// The leader's newest known position: the later of `/status` and what the upstream last said.
    pub leader_lsn: Option<Lsn>,
    /// Named in `/sync` as a standby.
    pub sync_standby: bool,
    /// Named in `/sync` as a standby of a quorum.
    pub quorum_standby: bool,
    /// The store's keys are known and not older than ttl.
    pub cluster_known: bool,
    /// Maintenance mode.
    pub paused: bool,
    /// The store is away, and all members have agreed to go on without it.
    pub failsafe: bool,
    /// This node's tags.
    pub tags: TagMap,
    /// `maximum_lag_on_failover`, the limit of `/readiness` where the request names none.
    pub maximum_lag: u64,
    /// How long ago the agent last finished a decision.
    pub since_decision: Duration,
    /// Upper bound between two decisions.
    pub loop_wait: Duration,
    /// Lifetime of the lease.
    pub ttl: Duration,
}

impl Facts {
    /// PostgreSQL answers.
    pub fn is_running(&self) -> bool {
        matches!(self.state, MemberState::Running | MemberState::Streaming)
    }

    /// The lease is held, with or without margin.
    pub fn is_leader(&self) -> bool {
        self.standing != Standing::None
    }
}
