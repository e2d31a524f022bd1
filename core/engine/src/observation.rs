//! Everything a decision may depend on.

use crate::{
    Epoch, Face, Failsafe, Job, Lease, Lsn, MemberState, Moment, Named, Policy, Position, Postgres, Revision, Role, Storage,
    StorageSeen, Tags, Text, Timeline, Upstream,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};

/// A member's name: unique in its cluster, also its `application_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberName(pub Text);

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for MemberName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// One look at the world from one node. Built by the agent (or the simulator) from the newest known facts; never waits for any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// This node.
    pub me: MemberName,
    /// The leader lease.
    pub lease: Lease,
    /// The cluster's keys in the store.
    pub store: StoreView,
    /// The local PostgreSQL.
    pub postgres: Postgres,
    /// The local guard.
    pub guard: Guard,
    /// The one long job that is running here.
    pub job: Option<RunningJob>,
    /// How the last long job ended.
    pub last_job: Option<JobReport>,
    /// Answers of the other nodes' agents, the newest of each.
    pub peers: Vec<Peer>,
    /// When the probe that found `postgres` was begun.
    pub probed: Moment,
    /// This node's promise; `None`: this agent cannot give any.
    pub promised: Option<Promised>,
    /// The data directory is not the one that was last known here: it was replaced by other hands, without `RaiseData` before and
    /// `AdoptDirectory` after it.
    pub directory_replaced: bool,
    /// Which data directory is there: another number for another one.
    #[serde(default)]
    pub directory: u64,
    /// The storage of the data directory.
    #[serde(default)]
    pub storage: StorageSeen,
    /// No server runs, and since then what is in the data directory cannot be found out.
    #[serde(default)]
    pub unreadable: Option<Moment>,
    /// The operator asked for a restart of PostgreSQL then; until it has been started again.
    #[serde(default)]
    pub restart: Option<Moment>,
    /// This leader does not have the WAL any more that the standby here needs next, and nobody else is asked for it.
    #[serde(default)]
    pub wal_gone: Option<Upstream>,
    /// The service is being stopped: give up the lease in order, stop PostgreSQL, then end.
    pub stopping: bool,
    /// Failsafe mode.
    #[serde(default)]
    pub failsafe: Failsafe,
}

/// The cluster's keys, as the watch last showed them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreView {
    /// The last sign of life of the store (answer or watch message); `None`: never read, nothing below means anything.
    pub as_of: Option<Moment>,
    /// `/initialize`: the cluster's database system identifier; `None`: no cluster yet.
    pub initialize: Option<String>,
    /// `/sync`.
    pub sync: Option<SyncState>,
    /// `tanist/primary`.
    pub primary: Option<Face>,
    /// `/members/*`.
    pub members: Vec<Member>,
    /// `/failover`: a switchover that was asked for.
    pub switchover: Option<Switchover>,
    /// `tanist/handoff`.
    pub handoff: Option<Handoff>,
    /// `tanist/timelines`: who opened which timeline.
    pub timelines: Vec<TimelineClaim>,
    /// `tanist/promise/*`.
    pub promises: Vec<Promise>,
    /// `tanist/data/*`: which data directories were given up, and when.
    pub data: Vec<DataMark>,
    /// `/status`: the last known position of the leader.
    pub optime: Option<Lsn>,
    /// `/failsafe`, for Patroni's eyes: what counts is in the lease record.
    #[serde(default)]
    pub failsafe: Option<Named>,
}

/// `/sync`: who may have acknowledged, and so who may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// Revision of the key; zero: absent.
    pub revision: Revision,
    /// The leader it was written by.
    pub leader: Option<MemberName>,
    /// The synchronous standbys.
    pub standbys: BTreeSet<MemberName>,
    /// How many votes of other standbys one of them needs before it is promoted: n − k, where commits wait for k of n.
    pub quorum: u32,
}

impl Observation {
    /// The long job that runs opens PostgreSQL for writing, or will.
    pub fn is_opening(&self) -> bool {
        self.job.as_ref().is_some_and(|running| running.job.makes_primary())
    }
}

impl StoreView {
    /// Revision of `/sync`, which a write of it compares; zero: there is none.
    pub fn sync_revision(&self) -> Revision {
        self.sync.as_ref().map(|sync| sync.revision).unwrap_or_default()
    }

    /// A Patroni is among the members.
    pub fn has_patroni(&self) -> bool {
        self.members.iter().any(Member::is_patroni)
    }

    /// `/sync` decides who may lead: synchronous mode is on, or was when the last leader wrote it. Only that leader loosens it, or an
    /// operator; a mode that was switched off meanwhile does not (SAFETY §4.4, §4.6).
    pub fn sync_decides(&self, policy: &Policy) -> bool {
        policy.synchronous.is_on() || self.electors().is_some()
    }

    /// `/sync`, where it names a leader: only those it names may lead.
    pub fn electors(&self) -> Option<&SyncState> {
        self.sync.as_ref().filter(|sync| sync.leader.is_some())
    }

    /// Whether the guarantee is Patroni's, not ours: one of those whom `/sync` names cannot give a promise.
    pub fn fence_is_partial(&self) -> bool {
        let Some(sync) = &self.sync else { return false };
        self.members.iter().any(|member| !member.tanist && sync.names(&member.name))
    }
}

impl SyncState {
    /// Whether `name` is named, as leader or as standby.
    pub fn names(&self, name: &MemberName) -> bool {
        self.leader.as_ref() == Some(name) || self.standbys.contains(name)
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One `/members/<name>` key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: MemberName,
    /// Where its PostgreSQL listens; `None`: not told yet.
    pub postgres: Option<Endpoint>,
    /// Base URL of its REST API.
    pub api_url: Option<String>,
    /// State of its PostgreSQL.
    pub state: MemberState,
    /// Its role.
    pub role: Role,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// Its position as last written.
    pub lsn: Option<Lsn>,
    /// A primary that has made its checkpoint after promotion: others may be rewound from it.
    pub checkpointed: bool,
    /// Its tags.
    pub tags: Tags,
    /// It is a tanist, not a Patroni.
    pub tanist: bool,
    /// Its storage.
    #[serde(default)]
    pub storage: Storage,
    /// A standby that follows a leader of this epoch.
    #[serde(default)]
    pub follows: Option<Epoch>,
}

impl Member {
    /// It is a Patroni: no tanist, and it says where it can be reached. A key that says nothing is nobody's.
    pub fn is_patroni(&self) -> bool {
        !self.tanist && (self.postgres.is_some() || self.api_url.is_some())
    }
}

/// `/failover` with a leader: a planned switchover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchover {
    /// Revision of the key.
    pub revision: Revision,
    /// Who must lead for it to apply.
    pub leader: Option<MemberName>,
    /// Who shall lead; `None`: the best.
    pub candidate: Option<MemberName>,
}

/// `tanist/handoff`: the leader released in favour of somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// Who gets the head start.
    pub to: MemberName,
    /// The epoch that was given up; a hand-over of an older epoch means nothing.
    pub epoch: Epoch,
}

/// The durable promise of this node: it follows no leader of a lower epoch, and none of the same epoch but that one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    /// The highest epoch in `fence.json`; `Epoch::NONE`: none was ever promised.
    pub epoch: Epoch,
    /// Whose epoch that was. A store that is restored hands a number out twice, and nothing but the name tells the two apart. `None`:
    /// promised by an agent that did not write it down.
    #[serde(default)]
    pub to: Option<MemberName>,
    /// This agent has seen to it since it began that no walreceiver of an older upstream runs or can appear: all steps of
    /// `Job::Promise` are done for this epoch. False after a restart of the agent.
    pub cut: bool,
}

impl Promised {
    /// Nobody who keeps this promise follows that leader, or is it.
    pub fn forbids(&self, leader: &MemberName, epoch: Epoch) -> bool {
        self.epoch > epoch || self.epoch == epoch && self.to.as_ref().is_some_and(|to| to != leader)
    }
}

/// `tanist/promise/<name>`: a standby's word that it follows no leader of a lower epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Whose.
    pub name: MemberName,
    /// Revision of the key.
    pub revision: Revision,
    /// The epoch.
    pub epoch: Epoch,
    /// Its position, read after its walreceiver was cut, where it knew it. `opened_by` is filled in from the claims like everywhere.
    pub position: Option<Position>,
}

/// `tanist/data/<name>`: raised before the data directory of a node is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMark {
    /// Whose.
    pub name: MemberName,
    /// Revision of the key.
    pub revision: Revision,
}

/// One line of `tanist/timelines`. A timeline number is claimed before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineClaim {
    /// The number.
    pub timeline: Timeline,
    /// The epoch that claimed it.
    pub epoch: Epoch,
    /// Where it begins, once known.
    pub begin: Option<Lsn>,
    /// The timeline that it leaves there, where known.
    pub parent: Option<Timeline>,
}

/// The guard's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Armed for this epoch, until then.
    pub armed: Option<Armed>,
    /// The highest epoch it was armed for since it began; it is armed for none below. `Epoch::NONE`: for none yet.
    #[serde(default)]
    pub newest: Epoch,
    /// How far the last fence is.
    pub fence: FenceState,
    /// What a fence may take here; the guard begins it that long before the end of the lease.
    pub budget: Duration,
}

/// A writable PostgreSQL is allowed under this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    /// For this epoch.
    pub epoch: Epoch,
    /// Until then.
    pub until: Moment,
}

/// How far the guard is with the newest fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FenceState {
    /// None since PostgreSQL was last started.
    Open,
    /// Signals are being sent.
    Running,
    /// No process that can acknowledge a write is left.
    Complete,
}

/// A long job that runs now. At most one per node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningJob {
    /// Which.
    pub job: Job,
    /// Since when.
    pub since: Moment,
}

/// A long job that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// Which.
    pub job: Job,
    /// How.
    pub outcome: JobOutcome,
    /// When.
    pub at: Moment,
}

/// How a long job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobOutcome {
    /// Done.
    Done,
    /// Not done; the text is for people.
    Failed(String),
}

/// What another node's agent last said of itself over REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    pub name: MemberName,
    /// When the question was sent.
    pub asked: Moment,
    /// The answer; `None`: no answer (yet).
    pub answer: Option<PeerAnswer>,
}

/// A peer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// Its PostgreSQL's state.
    pub state: MemberState,
    /// Its role.
    pub role: Role,
    /// Its position, where it knows it.
    pub position: Option<Position>,
    /// Its tags.
    pub tags: Tags,
    /// Its storage.
    #[serde(default)]
    pub storage: Storage,
    /// Failsafe mode: the last leader named others to wait for it and not this one, which does not take over.
    #[serde(default)]
    pub barred: bool,
}
