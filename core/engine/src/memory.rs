//! What one decision leaves for the next.

use crate::{MemberFace, Role};
use serde::{Deserialize, Serialize};

/// The engine's memory on one node. Lost when the agent ends; every field has a safe meaning when it is `Default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The role the last callback announced.
    pub announced: Option<Role>,
    /// The member key as last written.
    pub member: Option<MemberFace>,
}
