//! What has to hold, one file each. All are judged by the truth of the models, never by what a node believes.

mod acknowledged;
mod alone;
mod as_asked;
mod bounds;
mod busy;
mod callbacks;
mod causes;
mod copies;
mod demotion;
mod electors;
mod epochs;
mod healthy;
mod lease;
mod liveness;
mod one_primary;
mod permission;
mod plugin;
mod strict;
mod tags;
mod terms;
mod told;
mod usurped;
mod winners;

use crate::model::store::Value;
use std::{collections::BTreeMap, rc::Rc};
use tanist_engine::{Epoch, Handoff, Lsn};

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
#[derive(Clone, Debug)]
pub struct Restore {
    /// When.
    pub at: u64,
    /// Who held the lease then, or was writable and permitted to be.
    pub leaders: Vec<bool>,
    /// Nodes that have read it since.
    pub read: Vec<bool>,
    /// Nodes that had not seen the store since the backup was made, and those to which it was first shown when it had come past what they
    /// knew.
    pub blind: Vec<bool>,
    /// The agents that had seen it.
    pub lives: Vec<u32>,
}

/// What the checks remember.
#[derive(Clone, Debug, Default)]
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
    /// What the plugin is owed that the shipped queue calls, per node.
    pub(crate) owed: Vec<plugin::Owed>,
    /// One fault, alone.
    pub(crate) alone: Option<alone::Alone>,
    /// The last that each agent has told its plugins.
    pub(crate) told: Vec<told::Told>,
    pub(crate) primary_callback: Epoch,
    pub(crate) well_at: Option<u64>,
    /// Since when there is exactly one primary.
    pub(crate) led_at: Option<u64>,
    /// What the schedule made slow and ends last, and when.
    pub(crate) slow: (&'static str, u64),
    /// Until then something explains the end of a primary, per node.
    pub(crate) harmed: Vec<u64>,
    /// Until then a node was disturbed too lately to be expected to do anything.
    pub(crate) shaken: Vec<u64>,
    /// Since when a writable node has seen the lease with another.
    pub(crate) usurped: Vec<Option<u64>>,
    /// In whose favour the lease was given up, until somebody takes it.
    pub(crate) handed: Option<Handoff>,
    /// Whom `/failover` asked for since somebody last took the lease.
    pub(crate) asked_for: Option<tanist_engine::MemberName>,
    /// `/status` when the last checkpoint of a node before a planned stop began.
    pub(crate) status_at_checkpoint: Vec<Option<Lsn>>,
    /// Until then something is to blame for the end of a node's leadership.
    pub(crate) blamed: Vec<u64>,
    /// When each node last ceased to be writable.
    pub(crate) ended: Vec<u64>,
    /// `/status` as a node saw it when it took the lease.
    pub(crate) optime: Vec<Option<Lsn>>,
    /// The node that clients wrote to last, and how often that was another one than before.
    pub(crate) last_primary: Option<usize>,
    pub(crate) failovers: usize,
    /// The end of the last blow to a node.
    pub(crate) struck: Vec<u64>,
    /// Nodes whose data directory other hands have taken away or replaced.
    pub(crate) robbed: Vec<bool>,
    /// The leader key after the last commit.
    pub(crate) leader_key: Option<Rc<Value>>,
    /// The revision of `/sync` after the last commit.
    pub(crate) sync_revision: u64,
    /// The commits of a node wait, as a strict cluster wants it.
    pub(crate) strict: Vec<bool>,
    /// The guard has taken the deadline, per node.
    pub(crate) taken: Vec<bool>,
    /// The shortest and the longest ttl that was ever configured.
    pub(crate) ttls: (u64, u64),
    /// How often each agent decides.
    pub(crate) busy: Vec<busy::Busy>,
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
            told: vec![told::Told::default(); nodes],
            owed: (0..nodes).map(|_| plugin::Owed::default()).collect(),
            strict: vec![false; nodes],
            taken: vec![false; nodes],
            busy: vec![busy::Busy::default(); nodes],
            robbed: vec![false; nodes],
            blamed: vec![0; nodes],
            ended: vec![0; nodes],
            status_at_checkpoint: vec![None; nodes],
            optime: vec![None; nodes],
            shaken: vec![0; nodes],
            usurped: vec![None; nodes],
            harmed: vec![0; nodes],
            struck: vec![0; nodes],
            ttls: (u64::MAX, 0),
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

    /// Other hands have taken the data directory of a node away.
    pub fn took_directory(&mut self, node: usize) {
        self.robbed[node] = true;
    }
}
