//! The local PostgreSQL as the last probe found it.

use crate::{Epoch, Job, Lsn, MemberName, Memory, Moment, Policy, Position, StartAs, StoreView, Timeline, Upstream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// State of the local data directory and its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Postgres {
    /// No probe has finished yet.
    Unknown,
    /// The data directory is absent or empty.
    NoData,
    /// An unfinished bootstrap or clone was found; its content is worthless and must not be started.
    HalfMade,
    /// A data directory without a running server.
    Stopped(Stopped),
    /// The server was started and does not accept connections yet.
    Starting {
        /// Since when.
        since: Moment,
        /// Started without `standby.signal`, that is: it will be writable.
        as_primary: bool,
    },
    /// The server answers.
    Running(Running),
    /// The postmaster lives and does not answer new sessions.
    Unresponsive {
        /// The first probe that got no answer.
        since: Moment,
    },
}

/// A data directory without a server, read from its control file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Shut down in order ("shut down" or "shut down in recovery").
    pub clean: bool,
    /// It was a primary when it stopped ("shut down" or "in production").
    pub was_primary: bool,
    /// Timeline and end of the last checkpoint record, or of what a standby has replayed.
    pub position: Position,
    /// `position` is the end of all WAL that is here: a primary that was shut down in order, or a directory that was rewound and not
    /// started since. A standby may have received, and acknowledged, more than it has replayed.
    pub end_known: bool,
    /// pg_rewind takes it: shut down in order, with `wal_log_hints` or data checksums.
    pub rewindable: bool,
    /// The database system identifier of the control file.
    pub system_id: String,
}

impl Stopped {
    /// Rewound and not started since: before it is consistent it may need WAL of whom it was rewound from.
    pub fn is_incomplete(&self) -> bool {
        self.end_known && !self.was_primary
    }
}

/// A server that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Primary or standby.
    pub role: ServerRole,
    /// The database system identifier.
    pub system_id: String,
    /// Server version number, for example 150018.
    pub version: u32,
}

/// What the server is, with what is only known of such a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerRole {
    /// Not in recovery: writable for whoever may write.
    Primary {
        /// Timeline and current WAL position.
        position: Position,
        /// Where this timeline begins, from its history file; `None`: the first timeline, or not known.
        timeline_begin: Option<Lsn>,
        /// The timeline that this one left, from the same file.
        timeline_parent: Option<Timeline>,
        /// The newest successful write probe: a new session that ran `pg_current_xact_id()` in a read-write transaction.
        proof: Option<WriteProof>,
        /// Walsenders, from pg_stat_replication.
        standbys: Vec<StandbySeen>,
        /// `synchronous_standby_names` as the checkpointer and every walsender have it, not as `SHOW` says; `None` from when a change is
        /// asked for up to a look that was begun after it had ended. `position` above is read after this was established, and `standbys`
        /// after `position`.
        names_in_force: Option<SyncNames>,
        /// The control file is of the running timeline, that is, the checkpoint after a promotion is done: others may be rewound.
        checkpointed: bool,
    },
    /// In recovery.
    Standby {
        /// Timeline and end of WAL on disk; `None` while unknown (SAFETY §4.3: neither streamed since the start nor all local WAL
        /// replayed).
        position: Option<Position>,
        /// Replayed up to here.
        replayed: Lsn,
        /// Who it is told to follow.
        upstream: Option<Upstream>,
        /// A walreceiver is streaming.
        streaming: bool,
        /// It uses another replication slot than it should, or none where it should, or one where it should not.
        slot_differs: bool,
    },
}

/// A write probe that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteProof {
    /// The epoch it was asked for.
    pub epoch: Epoch,
    /// The timeline it ran on.
    pub timeline: Timeline,
    /// When it succeeded.
    pub at: Moment,
}

/// A standby's connection, which is one walsender: another server of the same name has another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The walsender's process.
    pub pid: i32,
    /// When it began, microseconds since 1970 by PostgreSQL's clock.
    pub began: i64,
}

/// One standby in pg_stat_replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbySeen {
    /// `application_name`, which is the member's name.
    pub name: MemberName,
    /// State is `streaming`.
    pub streaming: bool,
    /// Flushed up to here.
    pub flushed: Lsn,
    /// The server itself counts it as synchronous now.
    pub sync: bool,
    /// Its connection. One whose other end is gone without a word is shown until `wal_sender_timeout`, with what was flushed there.
    #[serde(default)]
    pub connection: Connection,
}

/// `synchronous_standby_names`, in the forms the engine uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncNames {
    /// Empty: commits wait for nobody.
    Nobody,
    /// A reserved name that matches no standby: commits wait for ever.
    Reserved,
    /// `FIRST count (standbys)`: commits wait for the first `count` of these that are connected.
    FirstOf {
        /// How many; at least one.
        count: u32,
        /// Of whom.
        standbys: BTreeSet<MemberName>,
    },
    /// `ANY count (standbys)`: commits wait for any `count` of these.
    AnyOf {
        /// How many; at least one.
        count: u32,
        /// Of whom.
        standbys: BTreeSet<MemberName>,
    },
}

impl SyncNames {
    /// For a server that is started or told to follow: where `/sync` decides who may lead, commits wait for ever until the engine has
    /// put the right names in force.
    pub fn at_start(policy: &Policy, store: &StoreView) -> Self {
        match store.sync_decides(policy) {
            true => Self::Reserved,
            false => Self::Nobody,
        }
    }

    /// For what this job starts, as decided with this memory: a primary's commits wait, too, while a write of `/sync` may still land that
    /// names somebody, though the mode was switched off meanwhile.
    pub fn for_job(job: &Job, policy: &Policy, store: &StoreView, memory: &Memory) -> Self {
        match job {
            Job::Start(StartAs::Primary { .. }) if memory.sync_may_land(store) => Self::Reserved,
            _ => Self::at_start(policy, store),
        }
    }

    /// Commits wait for this one standby.
    pub fn one(standby: MemberName) -> Self {
        Self::FirstOf { count: 1, standbys: BTreeSet::from([standby]) }
    }

    /// How many of whom commits wait for, where they wait for somebody who exists.
    pub fn demand(&self) -> Option<(u32, &BTreeSet<MemberName>)> {
        match self {
            Self::Nobody | Self::Reserved => None,
            Self::FirstOf { count, standbys } | Self::AnyOf { count, standbys } => Some((*count, standbys)),
        }
    }
}

impl Postgres {
    /// Whom commits wait for is not known any more: others are being put in force, or may have been since this was looked at. A decision
    /// on the names before them could let `/sync` name a standby for whom nobody waits a moment later.
    pub fn names_unknown(&mut self) {
        if let Self::Running(Running { role: ServerRole::Primary { names_in_force, .. }, .. }) = self {
            *names_in_force = None;
        }
    }

    /// Runs outside of recovery, or was started to: may be writable.
    pub fn may_be_writable(&self) -> bool {
        match self {
            Self::Starting { as_primary, .. } => *as_primary,
            Self::Running(running) => matches!(running.role, ServerRole::Primary { .. }),
            Self::Unresponsive { .. } => true,
            Self::Unknown | Self::NoData | Self::HalfMade | Self::Stopped(_) => false,
        }
    }
}
