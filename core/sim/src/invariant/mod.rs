//! What has to hold, one file each. All are judged by the truth of the models, never by what a node believes.

mod acknowledged;
mod callbacks;
mod causes;
mod demotion;
mod epochs;
mod lease;
mod liveness;
mod one_primary;
mod permission;
mod terms;

use std::collections::BTreeMap;
use tanist_engine::Epoch;

/// An invariant is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub text: String,
    /// When, true time.
    pub at: u64,
}

/// A store was restored from a backup.
#[derive(Debug)]
pub struct Restore {
    /// When.
    pub at: u64,
    /// Who was writable then.
    pub primary: Option<usize>,
    /// Nodes that had not seen the store since the backup was made.
    pub blind: Vec<bool>,
}

/// What the checks remember.
#[derive(Debug, Default)]
pub struct Checks {
    /// The first violation.
    pub violation: Option<Violation>,
    /// The store was restored from a backup: epochs and `/sync` may go back.
    pub store_restored: bool,
    /// The last time it was.
    pub(crate) restore: Option<Restore>,
    /// The last fault or its end.
    pub last_disturbance: u64,
    /// Acknowledged writes that must be in every later primary: per branch its begin, and the last.
    pub(crate) promised: BTreeMap<u32, (u64, u64)>,
    /// Claimed timelines that were opened, with their branch and epoch.
    pub(crate) opened: BTreeMap<u32, (u32, Epoch)>,
    /// Nodes that were the leader of `/sync` since it was last empty.
    pub(crate) synchronous: Vec<bool>,
    pub(crate) face_epoch: Epoch,
    pub(crate) lease_epoch: Epoch,
    pub(crate) lease_holder: Option<usize>,
    pub(crate) lease_revision: u64,
    /// The newest epoch each DNS server has answered with.
    pub(crate) named: Vec<Epoch>,
    /// Nodes that were writable under an epoch.
    pub(crate) writable_under: Vec<(Epoch, usize)>,
    /// Nodes on which a write has succeeded under an epoch.
    pub(crate) proved: Vec<(Epoch, usize)>,
    /// The number of the last callback delivered, per node, plus one.
    pub(crate) delivered: Vec<u64>,
    pub(crate) primary_callback: Epoch,
    pub(crate) well_at: Option<u64>,
    /// Until then something explains the end of a primary, per node.
    pub(crate) harmed: Vec<u64>,
    /// The end of the last blow to a node.
    pub(crate) struck: Vec<u64>,
    /// The guard has taken the deadline, per node.
    pub(crate) taken: Vec<bool>,
    /// How long each lease is warranted.
    pub(crate) terms: terms::Terms,
}

impl Checks {
    /// For so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self {
            named: vec![Epoch::NONE; nodes],
            synchronous: vec![false; nodes],
            delivered: vec![0; nodes],
            taken: vec![false; nodes],
            harmed: vec![0; nodes],
            struck: vec![0; nodes],
            terms: terms::Terms::new(nodes),
            ..Self::default()
        }
    }

    /// Something was disturbed, at least until then.
    pub fn disturbed(&mut self, until: u64) {
        self.last_disturbance = self.last_disturbance.max(until);
    }

    /// The store has gone back.
    pub fn restored(&mut self) {
        self.store_restored = true;
        self.lease_epoch = Epoch::NONE;
        self.face_epoch = Epoch::NONE;
        self.promised.clear();
    }

    /// A node's data are thrown away.
    pub fn forgotten(&mut self, _node: usize) {}
}
