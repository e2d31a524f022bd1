//! The outcome of one call of `decide`.

use crate::{Action, Memory, Moment, Reason};
use serde::{Deserialize, Serialize};

/// What to do, why, what to remember, and when to ask again at the latest.
#[must_use = "a decision that is not carried out did not happen"]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Pass this to the next call.
    pub memory: Memory,
    /// Effects, in order.
    pub actions: Vec<Action>,
    /// Why.
    pub reason: Reason,
    /// Decide again then, even if nothing has been observed.
    pub wake_at: Moment,
}
