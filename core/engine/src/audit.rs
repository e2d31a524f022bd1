//! The second opinion.

use crate::{Decision, Moment, Observation, Policy};

/// A decision that would break an invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {}

/// Checks a decision against I1 to I4.
pub fn audit(_policy: &Policy, _seen: &Observation, _decision: &Decision, _now: Moment) -> Result<(), Violation> {
    Ok(())
}
