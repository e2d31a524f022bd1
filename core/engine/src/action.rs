//! Effects a decision may ask for. Each is idempotent: asked for twice it does no harm.

use crate::{
    Connection, DataMark, Emission, Endpoint, Epoch, Face, Lsn, MemberFace, MemberName, Moment, Named, Position, Revision,
    SyncNames, SyncState, Timeline,
};
use serde::{Deserialize, Serialize};

/// One effect. The agent carries them out in the order of the decision's list without waiting for long ones; results come back as
/// observations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Take the lease in one transaction that compares the record's revision and the leader key as seen, and rewrites `/sync` with
    /// its present value (SAFETY §4.1).
    Acquire {
        /// The record's revision that was found vacant.
        record: Revision,
    },
    /// Rewrite the lease record once; on success the guard's deadline is extended by the executor, if armed for the same epoch.
    Renew,
    /// Give the lease up, in one transaction. Only after a completed fence or a clean shutdown.
    Release {
        /// Put `tanist/handoff` in the same transaction.
        handoff: Option<MemberName>,
        /// Delete `/failover` in the same transaction, because it is being carried out.
        clear_switchover: bool,
    },
    /// Allow a writable PostgreSQL under this epoch until then.
    Arm {
        /// The epoch of the held lease.
        epoch: Epoch,
        /// The end of the held lease.
        until: Moment,
    },
    /// Take the permission back. Only while no PostgreSQL that may be writable runs.
    Disarm,
    /// Let the guard fence now.
    Fence,
    /// Begin a long job. At most one runs.
    Run(Job),
    /// Put `synchronous_standby_names` in force (write, reload, wait until every process has it).
    SetSyncNames(SyncNames),
    /// Write `/sync` as a leader write that compares the revision it replaces.
    WriteSync {
        /// What to write; its revision is the one that is compared.
        state: SyncState,
        /// `tanist/data/<name>` of each standby it names, as known before that one's flush position was read (zero: absent);
        /// compared in the same transaction.
        data: Vec<DataMark>,
    },
    /// Put `tanist/promise/<me>`, comparing the key's own revision. Only after `Job::Promise` of that epoch.
    WritePromise {
        /// The promised epoch.
        epoch: Epoch,
        /// The position, if it is known.
        position: Option<Position>,
        /// The key's revision (zero: absent).
        revision: Revision,
    },
    /// Raise `tanist/data/<me>`, comparing the key's own revision: the data directory is about to be replaced, or has been.
    RaiseData {
        /// The key's revision (zero: absent).
        revision: Revision,
    },
    /// End these walsenders: what they report of a member may be of a data directory that it has given up. Its present server connects
    /// anew. Their end shows in `StandbySeen`.
    EndConnections {
        /// The member.
        name: MemberName,
        /// Its walsenders.
        connections: Vec<Connection>,
    },
    /// Take the present data directory for known: whoever names this node from now on has seen that it was replaced.
    AdoptDirectory,
    /// Put `/initialize`, once, for a cluster this node has just made.
    WriteInitialize {
        /// The database system identifier.
        system_id: String,
    },
    /// Claim a timeline number in `tanist/timelines` as a leader write.
    ClaimTimeline {
        /// The number.
        timeline: Timeline,
        /// For this epoch.
        epoch: Epoch,
        /// The timeline that it will leave, if known.
        parent: Option<Timeline>,
    },
    /// Write the beginning of a timeline this node opened.
    RecordTimeline {
        /// The number.
        timeline: Timeline,
        /// The epoch that claimed it.
        epoch: Epoch,
        /// Where it begins.
        begin: Lsn,
        /// The timeline that it left, if known.
        parent: Option<Timeline>,
    },
    /// CHECKPOINT on a primary that was promoted: until its control file is of the new timeline nobody can be rewound from it.
    Checkpoint,
    /// Run the write probe (SAFETY §6); success shows up as `WriteProof`.
    Prove {
        /// The epoch to prove.
        epoch: Epoch,
    },
    /// Put `tanist/primary` as a leader write, and a line into `/history` where the timeline is new.
    PublishPrimary(Face),
    /// Put this node's member key.
    PublishMember(MemberFace),
    /// Put `/status` as a leader write.
    PublishStatus {
        /// The current WAL position.
        optime: Lsn,
    },
    /// Delete `/failover`: it does not apply or cannot be carried out.
    ClearSwitchover {
        /// Its revision.
        revision: Revision,
    },
    /// Deliver a callback to plugins and scripts.
    Emit(Emission),
    /// Ask the other members' agents for their positions.
    AskPeers,
    /// Failsafe mode: the next lease records name these, and only these may take over from this node; and so `/failsafe`, as a leader
    /// write. `None`: anybody may, and the key goes.
    NameFailsafe {
        /// Everybody, this node too, with the address of each one's REST API.
        members: Option<Named>,
    },
    /// Failsafe mode: ask everybody who may take over to wait, and count the lease from now when all agree.
    AskToWait {
        /// The epoch that the guard is armed for.
        epoch: Epoch,
    },
    /// Everything is stopped and released: the agent may end.
    Exit,
}

/// A long job. The guard runs every program that writes the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Make a new cluster (initdb), and prepare its configuration. Does not start it.
    Bootstrap,
    /// Throw the data directory away and copy the leader's (pg_basebackup). Does not start it.
    Clone {
        /// From whom.
        from: Upstream,
    },
    /// Take back what the data directory has beyond the leader's history, and fetch what changed since (pg_rewind). The server is
    /// shut down. Does not start it. Where pg_rewind refuses before it has changed anything, the directory is as it was; where it does
    /// not end, `Postgres::HalfMade` is left.
    Rewind {
        /// The leader of the present lease.
        from: Upstream,
    },
    /// Start PostgreSQL.
    Start(StartAs),
    /// Make the standby writable, by the guard, which must be armed for the epoch.
    Promote {
        /// The epoch of the held lease.
        epoch: Epoch,
        /// The claimed timeline it must open.
        timeline: Timeline,
    },
    /// Stop PostgreSQL.
    Stop(StopMode),
    /// Make it impossible that anything is received, and so acknowledged, for a leader of an older epoch (SAFETY §4.2, steps 1 to
    /// 4): empty `primary_conninfo` and the epoch in `fence.json`, both durable; reload; end the walreceiver and see that none
    /// comes back. Without a server only what is durable. Ends with `Promised { epoch, to, cut: true }`.
    Promise {
        /// The epoch.
        epoch: Epoch,
        /// Who holds the lease of that epoch, where that is known.
        #[serde(default)]
        to: Option<MemberName>,
    },
    /// Point the running standby at this upstream, without a restart where PostgreSQL allows it.
    Follow(Upstream),
    /// CHECKPOINT, so that the shutdown that comes next is short.
    Checkpoint,
    /// Users, roles and databases of a new cluster, on its first start as primary. Creates only what is missing: it is asked for
    /// until the cluster's face has been published once.
    PostBootstrap,
}

impl Job {
    /// The job in words, for reasons and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Clone { .. } => "clone",
            Self::Rewind { .. } => "rewind",
            Self::Start(StartAs::Standby(_)) => "start as standby",
            Self::Start(StartAs::Primary { .. }) => "start as primary",
            Self::Promote { .. } => "promote",
            Self::Stop(_) => "stop",
            Self::Promise { .. } => "promise",
            Self::Follow(_) => "follow",
            Self::Checkpoint => "checkpoint",
            Self::PostBootstrap => "post-bootstrap",
        }
    }

    /// Ends with a PostgreSQL that may be writable.
    pub fn makes_primary(&self) -> bool {
        matches!(self, Self::Promote { .. } | Self::Start(StartAs::Primary { .. }))
    }

    /// Another job may begin beside it, and its end then is no news: it writes nothing that anything depends on, and may take a minute.
    pub fn gives_way(&self) -> bool {
        matches!(self, Self::Checkpoint)
    }
}

/// How PostgreSQL is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartAs {
    /// With `standby.signal`; without an upstream it only replays what it has.
    Standby(Option<Upstream>),
    /// Without `standby.signal`, by the guard, which must be armed for the epoch.
    Primary {
        /// The epoch of the held lease.
        epoch: Epoch,
    },
}

/// A server to follow or to copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its member name.
    pub name: MemberName,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The epoch of its lease; never a lower one than this node has promised.
    pub epoch: Epoch,
}

/// PostgreSQL's shutdown modes (documentation, "Shutting Down the Server").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// Roll back open transactions, write the shutdown checkpoint, send it to the standbys.
    Fast,
    /// Stop at once; recovery at the next start.
    Immediate,
}
