//! Why a decision was taken: the same words in log, REST, CLI and tests.

use serde::{Deserialize, Serialize};

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reason {
    /// Nothing to do.
    #[error("nothing to do")]
    Idle,
}
