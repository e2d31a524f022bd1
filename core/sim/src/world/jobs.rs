//! Long jobs: at most one per node; whatever writes the data directory is run by the guard.

use super::{
    World,
    event::{Command, Event, Inside, Local, Process},
    node::Writer,
};
use crate::model::{
    clock::{MS, SEC},
    postgres::{Dir, Server},
    wal::Wal,
};
use tanist_engine::{
    Epoch, Job, JobOutcome, JobReport, MemberName, Postgres, Promised, Reading, RunningJob, ServerRole, StartAs, SyncNames,
};

impl World {
    /// Begins a job.
    pub fn begin_job(&mut self, node: usize, job: Job, now: Reading) {
        let number = self.number();
        let agent = &mut self.nodes[node].agent;
        agent.seen.job = Some(RunningJob { job: job.clone(), since: now.boot });
        agent.job = number;
        let names = self.names_for(node, &job);
        match job {
            Job::Bootstrap => self.command(node, Command::Writer { job: number, copy_of: None, rewinds: false, names }),
            Job::Clone { from } => self.begin_replacement(node, number, &from.name, false, names),
            Job::Rewind { from } => self.begin_replacement(node, number, &from.name, true, names),
            Job::Start(how) => {
                let (primary, upstream) = match how {
                    StartAs::Primary { epoch } => (Some(epoch), None),
                    StartAs::Standby(upstream) => (None, upstream),
                };
                let replaced = self.nodes[node].agent.seen.directory_replaced;
                self.command(node, Command::Start { job: number, primary, upstream, names, replaced });
            }
            Job::Promote { .. } if !self.knows_its_end(node) => {
                self.fail_job(node, number, "the timeline of the standby is not known")
            }
            Job::Promote { epoch, timeline } => self.command(node, Command::Promote { job: number, epoch, timeline: timeline.0 }),
            Job::Stop(mode) => {
                self.check_stopped(node);
                self.command(node, Command::Stop { job: number, mode });
            }
            Job::Promise { .. } => {
                let after = self.barrier(node);
                self.later(node, after, Local::Work { job: number });
            }
            Job::Checkpoint => {
                let after = self.checkpoint_takes(node);
                self.later(node, after, Local::Work { job: number });
            }
            Job::Follow(_) | Job::PostBootstrap => {
                let after = self.rng.range(3 * MS, 120 * MS);
                self.later(node, after, Local::Work { job: number });
            }
        }
    }

    /// How long the checkpoint before a planned stop takes: as long as there is much to write.
    fn checkpoint_takes(&mut self, node: usize) -> u64 {
        let took = self.rng.range(3 * MS, 120 * MS);
        if !self.options.slow_checkpoints {
            return took;
        }
        let took = took * self.rng.range(1, 250);
        self.checks.status_at_checkpoint[node] = self.store.snap.optime();
        self.slowed("a checkpoint", took);
        took
    }

    fn knows_its_end(&self, node: usize) -> bool {
        let Postgres::Running(running) = &self.nodes[node].agent.seen.postgres else { return false };
        matches!(running.role, ServerRole::Standby { position: Some(_), .. })
    }

    fn begin_replacement(&mut self, node: usize, job: u64, from: &MemberName, rewinds: bool, names: SyncNames) {
        match self.find(from) {
            Some(source) => self.command(node, Command::Writer { job, copy_of: Some(source), rewinds, names }),
            None => self.fail_job(node, job, "no such member"),
        }
    }

    /// Whoever follows a leader, or leads, has promised its epoch to it.
    pub fn remember(&mut self, node: usize, epoch: Epoch, to: MemberName) {
        let here = &mut self.nodes[node];
        if epoch > here.fence.epoch {
            here.fence = Promised { epoch, to: Some(to), cut: false };
            here.agent.seen.promised = Some(here.fence.clone());
        }
    }

    fn fail_job(&mut self, node: usize, job: u64, why: &str) {
        self.later(node, MS, Local::JobEnded { job, outcome: JobOutcome::Failed(why.to_owned()) });
    }

    /// A job has ended.
    pub fn job_ended(&mut self, node: usize, job: u64, outcome: JobOutcome) {
        let now = self.reading(node).boot;
        let agent = &mut self.nodes[node].agent;
        if agent.job != job {
            return;
        }
        if let Some(ended) = agent.seen.job.take() {
            let made = outcome == JobOutcome::Done && matches!(ended.job, Job::Bootstrap | Job::Clone { .. });
            if let JobOutcome::Failed(why) = &outcome {
                let (name, why) = (ended.job.name(), why.clone());
                self.say_node(node, || format!("job {name} failed: {why}"));
            }
            let agent = &mut self.nodes[node].agent;
            agent.seen.last_job = Some(JobReport { job: ended.job, outcome, at: now });
            if made {
                self.own_directory(node);
            }
        }
        self.kick(node);
        self.turn(node);
    }

    /// The statement of a job that only talks to the server.
    pub fn work(&mut self, node: usize, number: u64) {
        let agent = &self.nodes[node].agent;
        if agent.job != number {
            return;
        }
        let Some(running) = agent.seen.job.clone() else { return };
        let hung = self.nodes[node].stopped[Process::Postgres as usize] > 0 || self.storage_hangs(node);
        let server = self.nodes[node].pg.server;
        let names = self.reserved(node);
        let done = match running.job {
            Job::Follow(upstream) if server == Server::Standby && !hung => {
                self.check_upstream(node, &upstream);
                self.remember(node, upstream.epoch, upstream.name.clone());
                self.nodes[node].pg.upstream = Some(upstream);
                self.nodes[node].pg.slot_differs = false;
                self.nodes[node].pg.names_file = names.clone();
                self.nodes[node].pg.names = names;
                self.later(node, 10 * MS, Local::Inside(Inside::Connect));
                true
            }
            Job::Promise { epoch, to } if server == Server::Standby && !hung => {
                let cut = self.cut(node);
                let here = &mut self.nodes[node];
                if epoch > here.fence.epoch {
                    here.fence = Promised { epoch, to, cut: false };
                }
                here.agent.seen.promised = Some(Promised { cut, ..here.fence.clone() });
                cut
            }
            Job::Checkpoint => {
                self.check_status(node, running.since);
                matches!(server, Server::Primary | Server::Standby) && !hung
            }
            Job::PostBootstrap if server == Server::Primary && !hung => {
                self.nodes[node].pg.wal.write(500);
                self.wal_grew(node);
                true
            }
            _ => false,
        };
        let outcome = if done { JobOutcome::Done } else { JobOutcome::Failed("the server does not answer".to_owned()) };
        self.job_ended(node, number, outcome);
    }

    /// A promotion ends when a look finds a primary, or no server.
    pub fn found_for_job(&mut self, node: usize) {
        let agent = &self.nodes[node].agent;
        let Some(Job::Promote { .. }) = agent.seen.job.as_ref().map(|running| &running.job) else { return };
        let outcome = match &agent.seen.postgres {
            Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }) => JobOutcome::Done,
            Postgres::Stopped(_) | Postgres::NoData => {
                JobOutcome::Failed("PostgreSQL ended while it was being promoted".to_owned())
            }
            _ => return,
        };
        let job = agent.job;
        self.later(node, MS / 10, Local::JobEnded { job, outcome });
    }

    /// The guard begins a program that writes the data directory.
    pub fn begin_writer(&mut self, node: usize, job: u64, copy_of: Option<usize>, rewinds: bool, names: SyncNames) {
        if self.nodes[node].pg.server != Server::Down || self.nodes[node].writer.is_some() {
            return self.fail_job(node, job, "a writer runs");
        }
        // pg_rewind looks first, and may refuse (WAL is gone that it needs, the leader does not let it in).
        if rewinds && (self.nodes[node].pg.dir != Dir::Cluster || !self.nodes[node].pg.clean || self.rng.chance(200)) {
            return self.fail_job(node, job, "pg_rewind refused");
        }
        self.check_copied_over(node);
        let source_life = copy_of.map_or(0, |source| self.nodes[source].pg.life);
        let here = &mut self.nodes[node];
        here.pg.dir = Dir::HalfMade;
        here.pg.wal = Wal::default();
        here.pg.rewound = false;
        here.writer = Some(Writer { job, copy_of, rewinds, source_life, names });
        let took = if copy_of.is_some() { self.rng.range(300 * MS, 4 * SEC) } else { self.rng.range(300 * MS, 2 * SEC) };
        self.slowed("a copy", took);
        self.at(self.now + took, Event::WriterEnds { node, job });
    }

    /// It ends.
    pub fn writer_ends(&mut self, node: usize, job: u64) {
        if self.nodes[node].writer.as_ref().is_none_or(|writer| writer.job != job) || !self.nodes[node].powered {
            return;
        }
        if self.storage_hangs(node) {
            return self.at(self.now + 100 * MS, Event::WriterEnds { node, job });
        }
        let Some(writer) = self.nodes[node].writer.take() else { return };
        let outcome = match writer.copy_of {
            None => {
                let branch = self.branch();
                let system = self.rng.draw() >> 20;
                let pg = &mut self.nodes[node].pg;
                pg.wal = Wal::begin(branch, 10_000);
                pg.system = system;
                (pg.dir, pg.clean, pg.was_primary, pg.identity) = (Dir::Cluster, true, true, job);
                pg.names_file = writer.names;
                JobOutcome::Done
            }
            Some(source) => {
                let from = &self.nodes[source];
                let whole = from.powered
                    && from.pg.life == writer.source_life
                    && matches!(from.pg.server, Server::Primary | Server::Standby)
                    && from.stopped[Process::Postgres as usize] == 0
                    && self.net.linked(node, source)
                    && !(self.nodes[node].slow[4] > 0 && self.rng.chance(600));
                if whole {
                    let (wal, system) = (self.nodes[source].pg.wal.clone(), self.nodes[source].pg.system);
                    let pg = &mut self.nodes[node].pg;
                    (pg.wal, pg.system) = (wal, system);
                    // The control file says what the source's does: of a server that runs. pg_rewind writes it in place.
                    (pg.dir, pg.clean, pg.was_primary) = (Dir::Cluster, false, false);
                    pg.identity = if writer.rewinds { pg.identity } else { job };
                    pg.rewound = writer.rewinds;
                    pg.names_file = writer.names;
                    JobOutcome::Done
                } else {
                    JobOutcome::Failed("pg_basebackup failed".to_owned())
                }
            }
        };
        self.later(node, MS / 10, Local::JobEnded { job, outcome });
    }
}
