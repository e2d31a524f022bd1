//! The decision.

use crate::{Decision, Memory, Moment, Observation, Policy, Reason};

/// What this node does next.
pub fn decide(policy: &Policy, memory: &Memory, _seen: &Observation, now: Moment) -> Decision {
    Decision { memory: memory.clone(), actions: Vec::new(), reason: Reason::Idle, wake_at: now + policy.loop_wait }
}
