//! What comes of the keeper's calls, and what it is told.

use crate::StoreError;
use tanist_engine::{Epoch, Held, Reading, Revision, SyncState};

/// `/sync` as the caller has it; the acquisition rewrites it with this value, comparing this revision. And which `/initialize` the caller
/// has seen: whoever takes the lease to create a cluster must not lack the word that there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncNow {
    /// Revision of the key; zero: absent.
    pub revision: Revision,
    /// Its bytes; for an absent key the bytes of an empty one.
    pub value: Vec<u8>,
    /// What it says, for [`Held::sync_at_acquisition`]; `None`: nobody knows.
    pub state: Option<SyncState>,
    /// Revision of `/initialize`; zero: absent.
    pub initialize: Revision,
}

/// What the guard's page says an earlier agent held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Armed for this epoch.
    pub epoch: Epoch,
    /// Until then.
    pub until: Reading,
}

/// What came of an acquisition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// The lease is ours.
    Won(Held),
    /// Somebody else has it, or the record is no longer as it was when it was found vacant.
    Lost,
    /// `/sync` or `/initialize` changed meanwhile: look again and try again. Nothing was written.
    ViewChanged,
    /// Not known, or not possible. If it landed, [`crate::lease::Keeper::lease`] will say so when the record is seen.
    Failed(StoreError),
}

/// What came of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenewOutcome {
    /// Renewed. The epoch is a new one when the leader key had to be put back.
    Renewed(Held),
    /// Somebody else has the record or the leader key: fence.
    Lost,
    /// Not known, or not possible; `until` stays as it was.
    Failed(StoreError),
}

/// What came of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// Given up.
    Released,
    /// It was not ours any more.
    Lost,
    /// Not known, or not possible: ask again.
    Failed(StoreError),
}

/// What came of a leader write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Written at this revision.
    Done(Revision),
    /// The leader key is not the one of our acquisition; nothing was written. Whether the lease is lost the next renewal tells.
    Lost,
    /// One of the caller's own comparisons did not hold; nothing was written.
    Conflict,
    /// Not known, or not possible.
    Failed(StoreError),
}
