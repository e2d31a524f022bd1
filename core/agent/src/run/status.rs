//! What the loop shows to the REST API: the newest observation and decision, replaced as a whole.

use std::sync::{Arc, PoisonError, RwLock};
use tanist_engine::{Moment, Observation, Policy, Reason, Refusal};

/// The newest turn of the loop.
#[derive(Clone, Debug)]
pub struct Status {
    /// What was seen.
    pub seen: Observation,
    /// Why it did what it did.
    pub reason: Reason,
    /// The rules.
    pub policy: Policy,
    /// When.
    pub decided: Moment,
    /// The last switchover that this node refused as leader: when, and why.
    pub refused: Option<(Moment, Refusal)>,
}

/// Holds it. Cheap to clone; neither side waits for the other longer than a pointer takes to copy.
#[derive(Clone, Debug, Default)]
pub struct StatusCell(Arc<RwLock<Option<Arc<Status>>>>);

impl StatusCell {
    /// Replaces it.
    pub fn put(&self, status: Status) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(status));
    }

    /// The newest; nothing before the first turn.
    pub fn get(&self) -> Option<Arc<Status>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
