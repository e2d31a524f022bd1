//! A decision that was written down with everything it depended on, and the same decision made again.
//!
//! This is a line of the agent's flight recorder and of the simulator's traces. Reading and writing lines is theirs.

use crate::{Decision, Memory, Moment, Observation, Policy, audit, decide};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One decision with its inputs: enough to decide it again, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Wall-clock time in milliseconds since 1970, for people only.
    pub wall_ms: u64,
    /// Boot time of the decision.
    pub now: Moment,
    /// The rules.
    pub policy: Policy,
    /// What the engine remembered.
    pub memory: Memory,
    /// What it saw.
    pub seen: Observation,
    /// What it decided.
    pub decision: Decision,
    /// What the audit had against it; such a decision was not carried out.
    pub violation: Option<String>,
}

/// What is decided now is not what was decided then. Shown as two lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference<'a> {
    then: &'a Recorded,
    now: Decision,
    violation: Option<String>,
}

impl Recorded {
    /// Decides again. Nothing: it is the same, with the same memory left behind and the same verdict of the audit.
    pub fn again(&self) -> Option<Difference<'_>> {
        let now = decide(&self.policy, &self.memory, &self.seen, self.now);
        let violation = audit(&self.policy, &self.seen, &now, self.now).err().map(|violation| violation.to_string());
        let same = now == self.decision && violation == self.violation;
        (!same).then_some(Difference { then: self, now, violation })
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { then: Recorded { decision: then, violation, .. }, now, violation: verdict } = self;
        write!(f, "then {} {:?}", then.reason, then.actions)?;
        rejected(f, violation.as_deref())?;
        write!(f, "\n now {} {:?}", now.reason, now.actions)?;
        rejected(f, verdict.as_deref())?;
        if then.memory != now.memory {
            write!(f, "\n and remembers {:?}, not {:?}", now.memory, then.memory)?;
        }
        if then.wake_at != now.wake_at {
            write!(f, "\n and wakes at {:?}, not {:?}", now.wake_at, then.wake_at)?;
        }
        Ok(())
    }
}

fn rejected(f: &mut fmt::Formatter<'_>, violation: Option<&str>) -> fmt::Result {
    violation.map_or(Ok(()), |violation| write!(f, " rejected: {violation}"))
}
