//! The fencing token and the store's revision it comes from.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The fencing token: `base` + the acquisition number of the lease (the store's revision of the write that gave the leader key).
/// It only grows; every action, event and published endpoint carries it. Below 2^53, because JavaScript guests see numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// No lease was ever held.
    pub const NONE: Self = Self(0);
    /// The first value that is no epoch: 2^53.
    pub const LIMIT: u64 = 1 << 53;

    /// `base` + `acquisition`, or nothing when the sum leaves the range of epochs.
    pub fn of(base: Self, acquisition: Revision) -> Option<Self> {
        base.0.checked_add(acquisition.0).filter(|sum| *sum < Self::LIMIT).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A revision of the store: etcd's mod-revision, Consul's ModifyIndex, the embedded store's log index. Zero means "absent".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
