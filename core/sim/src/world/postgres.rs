//! The life of a server, and the clients that write to it.

use super::{
    World,
    event::{Inside, Local, Process},
};
use crate::{
    model::{
        clock::{MS, SEC},
        postgres::{Server, Waiting},
    },
    mutant::Mutant,
};
use tanist_engine::{Epoch, JobOutcome, Postgres, SyncNames};

impl World {
    /// An event inside PostgreSQL.
    pub fn postgres_event(&mut self, node: usize, what: Local) {
        let Local::Inside(what) = what else { return };
        if self.waits_for_disk(node, &what) {
            return;
        }
        match what {
            Inside::Up => self.up(node),
            Inside::Exhausted => {
                self.nodes[node].pg.exhausted = true;
                self.connect(node);
                self.kick(node);
            }
            Inside::Promoted { epoch, timeline } => self.promoted(node, epoch, timeline),
            Inside::Stopped => self.stopped(node),
            Inside::Connect => self.connect(node),
            Inside::Arrive { from, connection, sent, upto } => self.wal_arrives(node, from, connection, &sent, upto),
            Inside::Flushed { by, connection, flushed } => self.wal_flushed(node, by, connection, flushed),
            Inside::Lost { connection } => self.connection_lost(node, connection),
            Inside::Left { connection } => {
                self.nodes[node].pg.walsenders.retain(|sender| sender.connection != connection);
                self.kick(node);
            }
            Inside::Silent { standby, connection } => self.standby_silent(standby, connection),
            Inside::NamesInForce => self.names_in_force(node),
            Inside::Checkpointed => {
                self.nodes[node].pg.checkpointed = true;
                self.kick(node);
            }
            Inside::Write => self.write(node),
        }
    }

    fn up(&mut self, node: usize) {
        let pg = &mut self.nodes[node].pg;
        let Server::Starting { as_primary, .. } = pg.server else { return };
        if pg.rewound && !self.is_fed(node) {
            // Not consistent before it has more of whom it was rewound from.
            return self.later(node, 300 * MS, Local::Inside(Inside::Up));
        }
        let pg = &mut self.nodes[node].pg;
        pg.rewound = false;
        if as_primary {
            (pg.was_primary, pg.checkpointed) = (true, true);
            pg.wal.write(60);
            self.becomes_writable(node);
        } else {
            let replayed = pg.clean;
            pg.was_primary = false;
            pg.server = Server::Standby;
            self.nodes[node].replay.paused = false;
            let took = if replayed { self.rng.range(10 * MS, 150 * MS) } else { self.rng.range(100 * MS, 3 * SEC) };
            self.slowed("replay after a recovery", took);
            self.later(node, took, Local::Inside(Inside::Exhausted));
        }
        self.nodes[node].pg.clean = false;
        self.kick(node);
    }

    fn promoted(&mut self, node: usize, epoch: Epoch, timeline: u32) {
        if self.nodes[node].pg.server != Server::Promoting {
            return;
        }
        let branch = self.branch();
        let pg = &mut self.nodes[node].pg;
        let timeline = if self.options.without(Mutant::TimelineUnclaimed) { pg.wal.timeline() + 1 } else { timeline };
        pg.wal.open(branch, timeline);
        pg.wal.write(60);
        (pg.was_primary, pg.checkpointed) = (true, false);
        pg.writable_epoch = epoch;
        self.check_opened(node, branch, timeline, epoch);
        self.becomes_writable(node);
        self.kick(node);
    }

    fn becomes_writable(&mut self, node: usize) {
        let pg = &mut self.nodes[node].pg;
        pg.server = Server::Primary;
        pg.checkpoint = pg.wal.end();
        pg.names = pg.names_file.clone();
        pg.names_next = None;
        let epoch = pg.writable_epoch;
        self.say_node(node, || format!("PostgreSQL is writable under epoch {epoch}"));
        self.check_winner(node);
        let after = self.rng.range(5 * MS, 200 * MS);
        self.later(node, after, Local::Inside(Inside::Write));
    }

    /// A client's write, and the plan for the next one.
    fn write(&mut self, node: usize) {
        let pg = &mut self.nodes[node].pg;
        if !pg.writable() || self.now > self.options.quiet_from {
            return;
        }
        let bytes = [90, 250, 900, 4_000][self.rng.index(4)];
        let lsn = self.nodes[node].pg.wal.write(bytes);
        if lsn.is_multiple_of(32) {
            self.nodes[node].pg.checkpoint = lsn;
        }
        let names = &self.names;
        if self.nodes[node].pg.acknowledges(lsn, |node| names[node].clone()) {
            self.acknowledged(node, lsn);
        } else if self.nodes[node].pg.waiting.len() < 40 {
            self.nodes[node].pg.waiting.push(Waiting { lsn, since: self.now });
        }
        self.wal_grew(node);
        let pause = if self.rng.chance(150) { self.rng.range(4 * MS, 30 * MS) } else { self.rng.range(150 * MS, 900 * MS) };
        self.later(node, pause, Local::Inside(Inside::Write));
    }

    /// Commits whose standby has them, or that wait for nobody any more, return.
    pub fn release_commits(&mut self, node: usize) {
        if !self.nodes[node].pg.writable() {
            return;
        }
        let waiting = std::mem::take(&mut self.nodes[node].pg.waiting);
        let mut still = Vec::new();
        for commit in waiting {
            let names = &self.names;
            if self.nodes[node].pg.acknowledges(commit.lsn, |node| names[node].clone()) {
                self.acknowledged(node, commit.lsn);
            } else {
                still.push(commit);
            }
        }
        self.nodes[node].pg.waiting = still;
    }

    fn names_in_force(&mut self, node: usize) {
        let pg = &mut self.nodes[node].pg;
        if let Some(next) = pg.names_next.take() {
            pg.names = next;
        }
        if !self.nodes[node].pg.writable() {
            return;
        }
        self.release_commits(node);
        self.kick(node);
    }

    /// The server dies at once: kill, fence, power.
    pub fn crash_postgres(&mut self, node: usize) {
        if self.nodes[node].pg.server == Server::Down {
            return;
        }
        self.check_demotion(node);
        self.leave_all(node);
        self.nodes[node].pg.crash();
        self.say_node(node, || "PostgreSQL is gone".into());
        if self.nodes[node].agent.alive && self.nodes[node].powered {
            self.postgres_changed(node, Postgres::Unknown);
        }
    }

    /// A fast shutdown begins: sessions end, the shutdown checkpoint goes to the standbys.
    pub fn shut_down(&mut self, node: usize) {
        self.check_demotion(node);
        let pg = &mut self.nodes[node].pg;
        pg.stopping_primary = matches!(pg.server, Server::Primary | Server::Starting { as_primary: true, .. });
        if matches!(pg.server, Server::Stopping) {
            return;
        }
        if pg.server == Server::Primary {
            pg.wal.write(120);
        }
        pg.server = Server::Stopping;
        pg.waiting.clear();
        self.wal_grew(node);
        let took =
            if self.nodes[node].slow[2] > 0 { self.rng.range(2 * SEC, 20 * SEC) } else { self.rng.range(10 * MS, 500 * MS) };
        self.slowed("a shutdown", took);
        self.later(node, took, Local::Inside(Inside::Stopped));
    }

    fn stopped(&mut self, node: usize) {
        let pg = &self.nodes[node].pg;
        if pg.server != Server::Stopping {
            return;
        }
        let end = pg.wal.end();
        if pg.walsenders.iter().any(|sender| sender.flushed < end) {
            return self.later(node, 20 * MS, Local::Inside(Inside::Stopped));
        }
        self.leave_all(node);
        self.nodes[node].pg.stopped();
        let here = &mut self.nodes[node];
        if here.guard.alive && here.guard.page.fence == tanist_engine::FenceState::Open {
            here.guard.page.fence = tanist_engine::FenceState::Complete;
        }
        if !here.agent.alive {
            return;
        }
        self.postgres_changed(node, Postgres::Unknown);
        let agent = &self.nodes[node].agent;
        if let Some(tanist_engine::RunningJob { job: tanist_engine::Job::Stop(_), .. }) = &agent.seen.job {
            let job = agent.job;
            self.later(node, MS, Local::JobEnded { job, outcome: JobOutcome::Done });
        }
    }

    /// A client cancels its waiting commits: they return with a warning, and count as unknown.
    pub fn cancel_waits(&mut self, node: usize) {
        self.nodes[node].pg.waiting.clear();
    }

    /// Whether the node's server can acknowledge a write now.
    pub fn can_write(&self, node: usize) -> bool {
        let here = &self.nodes[node];
        here.powered && here.pg.writable() && here.stopped[Process::Postgres as usize] == 0
    }

    /// Whether it acknowledges without waiting for anybody.
    pub fn open_names(&self, node: usize) -> bool {
        self.nodes[node].pg.names == SyncNames::Nobody
    }
}
