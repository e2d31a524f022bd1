//! What the storage under a data directory takes.

use crate::Moment;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a node's storage lets it lead. In the order of comparison the best is the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Storage {
    /// Small writes reach it in time, and there is room. Also what is assumed of a node that says nothing.
    #[default]
    Good,
    /// There is no room, or less than is asked for.
    Full,
    /// Writes fail, or do not return.
    Broken,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Full => "full",
            Self::Broken => "broken",
        })
    }
}

/// The local storage as it was last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSeen {
    /// What it takes.
    pub state: Storage,
    /// Since when.
    pub since: Moment,
    /// What is wrong, in words for people; empty where nothing is.
    pub why: String,
}
