//! PostgreSQL on one node: data directory, server, replication as far as the promise depends on it.
//!
//! What is written is flushed. A crash keeps what was flushed and forgets sessions; a standby that crashed does not know its position
//! before it has replayed what it has. Timers and messages are in `world::postgres`.

use super::wal::Wal;
use std::collections::BTreeSet;
use tanist_engine::{
    Connection, Epoch, Lsn, MemberName, Moment, Position, Postgres, Running, ServerRole, StandbySeen, Stopped, SyncNames,
    Timeline, Upstream, WriteProof,
};

/// The data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dir {
    /// Absent or empty.
    Empty,
    /// An unfinished bootstrap or copy.
    HalfMade,
    /// A cluster.
    Cluster,
}

/// The server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// None.
    Down,
    /// In recovery before it accepts connections.
    Starting {
        /// Since when by the node's boot time.
        since: Moment,
        /// Without `standby.signal`.
        as_primary: bool,
    },
    /// In recovery.
    Standby,
    /// Told to leave recovery.
    Promoting,
    /// Writable.
    Primary,
    /// Shutting down, sessions ended.
    Stopping,
}

/// A commit that waits for a standby.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// End of its record.
    pub lsn: u64,
    /// Since then, true time.
    pub since: u64,
}

/// A standby's connection, as its primary sees it.
#[derive(Clone, Copy, Debug)]
pub struct Walsender {
    /// The standby.
    pub node: usize,
    /// Number of the connection.
    pub connection: u64,
    /// Flushed up to here.
    pub flushed: u64,
    /// Sent up to here.
    pub sent: u64,
}

impl Walsender {
    /// As the engine sees it.
    pub fn seen_as(&self) -> Connection {
        Connection { pid: self.connection as i32, began: 0 }
    }
}

/// A node's PostgreSQL.
#[derive(Clone, Debug)]
pub struct Pg {
    /// The data directory.
    pub dir: Dir,
    /// The database system identifier.
    pub system: u64,
    /// Which directory it is; another one that is put in its place has another number.
    pub identity: u64,
    /// Its log.
    pub wal: Wal,
    /// The control file says: shut down in order.
    pub clean: bool,
    /// The control file says: a primary.
    pub was_primary: bool,
    /// The server.
    pub server: Server,
    /// Counts server lives; a message to an earlier one is void.
    pub life: u32,
    /// The last server shut down as primary.
    pub stopping_primary: bool,
    /// When WAL last arrived, true time.
    pub grew_at: u64,
    /// The end of WAL that the control file of a primary tells after a crash: that of its last checkpoint.
    pub checkpoint: u64,
    /// `primary_conninfo`.
    pub upstream: Option<Upstream>,
    /// `synchronous_standby_names` in the configuration file.
    pub names_file: SyncNames,
    /// What every process has.
    pub names: SyncNames,
    /// What some processes have already.
    pub names_next: Option<SyncNames>,
    /// It was rewound and has not been consistent since: it needs WAL of whom it was rewound from. Ended before that it is worth nothing.
    pub rewound: bool,
    /// It does not use the slot that it should.
    pub slot_differs: bool,
    /// The checkpoint after promotion is done.
    pub checkpointed: bool,
    /// All local WAL has been replayed since the start, or it has streamed.
    pub exhausted: bool,
    /// Connection to the upstream.
    pub connection: Option<(usize, u64)>,
    /// Standbys connected here.
    pub walsenders: Vec<Walsender>,
    /// Commits that wait.
    pub waiting: Vec<Waiting>,
    /// The newest write probe.
    pub proof: Option<WriteProof>,
    /// The epoch whose permission made it writable.
    pub writable_epoch: Epoch,
}

impl Pg {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            dir: Dir::Empty,
            system: 0,
            identity: 0,
            wal: Wal::default(),
            clean: true,
            was_primary: false,
            server: Server::Down,
            life: 0,
            stopping_primary: false,
            grew_at: 0,
            checkpoint: 0,
            upstream: None,
            names_file: SyncNames::Nobody,
            names: SyncNames::Nobody,
            names_next: None,
            rewound: false,
            slot_differs: false,
            checkpointed: true,
            exhausted: false,
            connection: None,
            walsenders: Vec::new(),
            waiting: Vec::new(),
            proof: None,
            writable_epoch: Epoch::NONE,
        }
    }

    /// What some process or other has.
    pub fn names_in_use(&self) -> impl Iterator<Item = &SyncNames> {
        [Some(&self.names), self.names_next.as_ref()].into_iter().flatten()
    }

    /// Accepts writes.
    pub fn writable(&self) -> bool {
        self.server == Server::Primary
    }

    /// The server is gone at once; what it was doing is not finished.
    pub fn crash(&mut self) {
        if self.server != Server::Down {
            self.was_primary = match self.server {
                Server::Primary | Server::Starting { as_primary: true, .. } => true,
                Server::Stopping => self.stopping_primary,
                _ => false,
            };
            self.clean = false;
        }
        self.end();
    }

    /// The server has shut down in order.
    pub fn stopped(&mut self) {
        self.clean = true;
        self.was_primary = self.stopping_primary;
        self.end();
    }

    fn end(&mut self) {
        if self.server != Server::Down && std::mem::take(&mut self.rewound) {
            self.dir = Dir::HalfMade;
        }
        self.server = Server::Down;
        self.life += 1;
        self.connection = None;
        self.walsenders.clear();
        self.waiting.clear();
        self.names_next = None;
        self.proof = None;
        self.stopping_primary = false;
    }

    /// Whether a commit ending at `lsn` is acknowledged. While names are changing each process may have either.
    pub fn acknowledges(&self, lsn: u64, name: impl Fn(usize) -> MemberName) -> bool {
        let by = |names: &SyncNames| match names {
            SyncNames::Nobody => true,
            SyncNames::Reserved => false,
            SyncNames::FirstOf { count, standbys } => self.first(*count, standbys, lsn, &name),
            SyncNames::AnyOf { count, standbys } => self.any(*count, standbys, lsn, &name),
        };
        by(&self.names) || self.names_next.as_ref().is_some_and(by)
    }

    /// The first `count` connected ones, in the order of the list, have it.
    fn first(&self, count: u32, demanded: &BTreeSet<MemberName>, lsn: u64, name: &impl Fn(usize) -> MemberName) -> bool {
        let connected = demanded.iter().filter_map(|wanted| self.walsenders.iter().find(|sender| name(sender.node) == *wanted));
        let mut left = count;
        for sender in connected.take(count as usize) {
            if sender.flushed < lsn {
                return false;
            }
            left -= 1;
        }
        left == 0
    }

    /// Any `count` have it.
    fn any(&self, count: u32, demanded: &BTreeSet<MemberName>, lsn: u64, name: &impl Fn(usize) -> MemberName) -> bool {
        let have = self.walsenders.iter().filter(|sender| sender.flushed >= lsn && demanded.contains(&name(sender.node)));
        have.count() >= count as usize
    }

    /// What the control file tells; of a server whose end it does not know, something that lies before it.
    fn stopped_at(&self, end: Position, checkpoint: Position) -> Stopped {
        let end_known = self.clean && self.was_primary || self.rewound;
        let lsn = match (end_known, self.was_primary) {
            (true, _) => end.lsn,
            (false, true) => checkpoint.lsn,
            (false, false) => Lsn(end.lsn.0.saturating_sub(4_000)),
        };
        Stopped {
            clean: self.clean,
            was_primary: self.was_primary,
            position: Position { lsn, ..end },
            end_known,
            rewindable: self.clean,
            system_id: self.system.to_string(),
        }
    }

    /// What the probe finds, the opening epoch left empty.
    pub fn look(&self, name: impl Fn(usize) -> MemberName, names_known: bool) -> Postgres {
        let position = || Position { opened_by: Epoch::NONE, timeline: Timeline(self.wal.timeline()), lsn: Lsn(self.wal.end()) };
        let checkpoint = || Position { lsn: Lsn(self.checkpoint.min(self.wal.end())), ..position() };
        let running = |role| Postgres::Running(Running { role, system_id: self.system.to_string(), version: 150_018 });
        match self.server {
            Server::Down => match self.dir {
                Dir::Empty => Postgres::NoData,
                Dir::HalfMade => Postgres::HalfMade,
                Dir::Cluster => Postgres::Stopped(self.stopped_at(position(), checkpoint())),
            },
            Server::Starting { since, as_primary } => Postgres::Starting { since, as_primary },
            Server::Standby | Server::Promoting => running(ServerRole::Standby {
                position: self.exhausted.then(position),
                replayed: Lsn(self.wal.end()),
                upstream: self.upstream.clone(),
                streaming: self.connection.is_some(),
                slot_differs: self.slot_differs,
            }),
            Server::Stopping if !self.stopping_primary => running(ServerRole::Standby {
                position: self.exhausted.then(position),
                replayed: Lsn(self.wal.end()),
                upstream: self.upstream.clone(),
                streaming: false,
                slot_differs: false,
            }),
            // Refuses new sessions; the prober's kept session is gone. Shown as what it was.
            Server::Primary | Server::Stopping => running(ServerRole::Primary {
                position: position(),
                timeline_begin: self.wal.timeline_begin().map(Lsn),
                timeline_parent: self.wal.timeline_parent().map(Timeline),
                proof: self.proof.filter(|proof| proof.timeline.0 == self.wal.timeline()),
                standbys: self
                    .walsenders
                    .iter()
                    .map(|sender| StandbySeen {
                        name: name(sender.node),
                        streaming: true,
                        flushed: Lsn(sender.flushed),
                        connection: sender.seen_as(),
                        sync: self.names.demand().is_some_and(|(_, names)| names.contains(&name(sender.node))),
                    })
                    .collect(),
                names_in_force: match &self.names_next {
                    None => Some(self.names.clone()),
                    Some(next) if names_known => Some(next.clone()),
                    Some(_) => None,
                },
                checkpointed: self.checkpointed,
            }),
        }
    }
}

impl Default for Pg {
    fn default() -> Self {
        Self::new()
    }
}
