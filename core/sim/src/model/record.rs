//! The lease record as a value; its bytes are the store adapter's matter.

use std::{rc::Rc, time::Duration};
use tanist_engine::{Epoch, MemberName, Named, Revision, SyncState};

/// `tanist/lease`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds the lease.
    pub holder: MemberName,
    /// The start nonce of the holder's guard.
    pub nonce: u64,
    /// The epoch; empty in an acquisition, whose revision is not known before it is written.
    pub epoch: Option<Epoch>,
    /// The base of the epochs that the acquisition compared.
    pub base: Epoch,
    /// Counts the writes of this acquisition.
    pub seq: u64,
    /// The ttl the holder counts with.
    pub ttl: Duration,
    /// Given up.
    pub released: bool,
    /// Number of the attempt that wrote it.
    pub attempt: u64,
    /// `/sync` as the acquisition read it.
    pub sync: Option<Rc<SyncState>>,
    /// Failsafe mode: only these may take over.
    pub failsafe: Option<Rc<Named>>,
}

impl Record {
    /// The epoch of the record that was written at `revision`.
    pub fn epoch_at(&self, revision: u64) -> Epoch {
        self.epoch.or_else(|| Epoch::of(self.base, Revision(revision))).unwrap_or_default()
    }

    /// The acquisition number of the record that was written at `revision`.
    pub fn acquisition_at(&self, revision: u64) -> u64 {
        self.epoch.map_or(revision, |epoch| epoch.0.saturating_sub(self.base.0))
    }
}
