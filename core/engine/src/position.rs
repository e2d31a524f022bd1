//! Places in the write-ahead log.

use crate::Epoch;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A byte position in the write-ahead log (PostgreSQL documentation, chapter "WAL Internals"). Comparable only together with the
/// history of its timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text was not of the form `16/B374D848`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a WAL position of the form 16/B374D848")]
pub struct LsnError;

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let (high, low) = text.split_once('/').ok_or(LsnError)?;
        let part = |digits: &str| u32::from_str_radix(digits, 16).map_err(|_| LsnError);
        Ok(Self(u64::from(part(high)?) << 32 | u64::from(part(low)?)))
    }
}

/// A PostgreSQL timeline number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a node's history reaches. Field order is the order of comparison: a node that is on a timeline opened by a later epoch
/// is ahead of every node that is not, whatever the byte positions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The epoch that opened the timeline; `Epoch::NONE` for the timeline of the initdb or when nobody claimed it.
    pub opened_by: Epoch,
    /// The timeline.
    pub timeline: Timeline,
    /// End of the WAL that is safe on this node's disk (received and flushed, or replayed, whichever is later).
    pub lsn: Lsn,
}
