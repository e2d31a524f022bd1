//! A node: clocks, three processes, and what happens to processes from outside.

use super::{
    World,
    agent::Agent,
    directory::Backup,
    event::{Event, Local, PROCESSES, Process},
    replay::Replay,
    storage::Disk,
};
use crate::model::{
    broker::Plugin,
    clock::{MS, NodeClock, SEC},
    guard::Guard,
    plugins::Queue,
    postgres::{Dir, Pg},
};

/// A program that writes the data directory.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Its job.
    pub job: u64,
    /// Whose data it copies; nothing: a new cluster.
    pub copy_of: Option<usize>,
    /// It takes back what has diverged, and fetches only what changed.
    pub rewinds: bool,
    /// The server life of the source at the beginning.
    pub source_life: u32,
    /// The configuration it ends with.
    pub names: tanist_engine::SyncNames,
}

/// A node.
#[derive(Clone)]
pub struct Node {
    /// Its clocks.
    pub clock: NodeClock,
    /// The agent.
    pub agent: Agent,
    /// The guard.
    pub guard: Guard,
    /// The last command that was sent to the guard arrives then: they stay in order.
    pub commands_at: u64,
    /// The highest epoch that was promised here, and to whom, on the disk.
    pub fence: tanist_engine::Promised,
    /// Whom the own records may name, on the disk.
    pub kept: Option<super::failsafe::Kept>,
    /// PostgreSQL.
    pub pg: Pg,
    /// What its replay does, while it is a standby.
    pub replay: Replay,
    /// The data directory that it takes for its own, on the disk.
    pub known_directory: u64,
    /// A copy of the data directory that somebody has made.
    pub backup: Option<Backup>,
    /// The queue of a plugin that has to see every callback.
    pub queue: Queue,
    /// A plugin and the queue that ships.
    pub plugin: Plugin,
    /// The storage.
    pub disk: Disk,
    /// The program that writes the data directory.
    pub writer: Option<Writer>,
    /// It has power.
    pub powered: bool,
    /// How many faults stop each process.
    pub stopped: [u16; 3],
    held: Vec<(u32, Local)>,
    /// No process on the node can exclude an overlap until then.
    pub exempt_until: u64,
    /// Its clocks missed a pause.
    pub clock_missed: bool,
    /// What it counted by such clocks is over then.
    pub behind_until: u64,
    /// Faults of slowness in force: fence, promotion, stop, recovery, copy fails, reload, replication.
    pub slow: [u16; 7],
    /// The service was stopped on purpose.
    pub out_of_service: bool,
    /// An operator wants it stopped.
    pub stop_wanted: bool,
}

impl Node {
    /// The number of the data directory that is there; zero: none is.
    pub fn directory(&self) -> u64 {
        if self.pg.dir == Dir::Cluster { self.pg.identity } else { 0 }
    }

    /// The data directory is not the one that this node last took for its own, if it knows one.
    pub fn directory_replaced(&self) -> bool {
        self.pg.dir == Dir::Cluster && self.known_directory != 0 && self.known_directory != self.pg.identity
    }

    /// A powered node without data.
    pub fn new(agent: Agent, clock: NodeClock, number: usize) -> Self {
        Self {
            clock,
            agent,
            guard: Guard::new(0, 0),
            commands_at: 0,
            fence: tanist_engine::Promised::default(),
            kept: None,
            pg: Pg::new(),
            replay: Replay::default(),
            known_directory: 0,
            backup: None,
            queue: Queue::default(),
            plugin: Plugin::new(number),
            disk: Disk::default(),
            writer: None,
            powered: true,
            stopped: [0; 3],
            held: Vec::new(),
            exempt_until: 0,
            clock_missed: false,
            behind_until: 0,
            slow: [0; 7],
            out_of_service: false,
            stop_wanted: false,
        }
    }

    /// The process can run now.
    pub fn runs(&self, process: Process) -> bool {
        let alive = match process {
            Process::Agent => self.agent.alive,
            Process::Guard => self.guard.alive,
            Process::Postgres => true,
        };
        self.powered && alive && self.stopped[process as usize] == 0
    }

    /// Its present life.
    pub fn life(&self, process: Process) -> u32 {
        match process {
            Process::Agent => self.agent.life,
            Process::Guard => self.guard.life,
            Process::Postgres => self.pg.life,
        }
    }
}

impl World {
    /// Hands an event to its process, or keeps it until the process runs again.
    pub fn local(&mut self, node: usize, life: u32, what: Local) {
        let process = what.process();
        let here = &mut self.nodes[node];
        if !here.powered || here.life(process) != life {
            return;
        }
        if here.stopped[process as usize] > 0 {
            here.held.push((life, what));
            return;
        }
        match process {
            Process::Agent if here.agent.alive => self.agent_event(node, what),
            Process::Guard if here.guard.alive => self.guard_event(node, what),
            Process::Postgres => self.postgres_event(node, what),
            Process::Agent | Process::Guard => {}
        }
    }

    /// Stops processes (SIGSTOP, a frozen machine).
    pub fn freeze(&mut self, node: usize, which: &[Process]) {
        let now = self.nodes[node].clock.read(self.now).boot;
        for process in which {
            self.nodes[node].stopped[*process as usize] += 1;
            if *process == Process::Guard {
                self.nodes[node].guard.stood_still_at.get_or_insert(now);
            }
        }
        if which.contains(&Process::Postgres) {
            self.falls_silent(node);
        }
        self.watch_guard(node);
        self.judge_exemption(node);
    }

    /// Continues them. What has waited for them happens in its order, each process by itself.
    pub fn thaw(&mut self, node: usize, which: &[Process]) {
        for process in which {
            let here = &mut self.nodes[node];
            here.stopped[*process as usize] = here.stopped[*process as usize].saturating_sub(1);
        }
        let here = &mut self.nodes[node];
        if here.stopped[Process::Guard as usize] == 0 {
            here.guard.stood_still_at = None;
        }
        if which.contains(&Process::Agent) {
            here.agent.lenient_until = here.clock.read(self.now).boot.as_nanos() + 200 * MS;
        }
        let held = std::mem::take(&mut here.held);
        let late: Vec<u64> = PROCESSES.iter().map(|_| self.rng.range(MS / 10, 30 * MS)).collect();
        for (life, what) in held {
            let process = what.process();
            if self.nodes[node].stopped[process as usize] > 0 {
                self.nodes[node].held.push((life, what));
            } else {
                self.at(self.now + late[process as usize], Event::Local { node, life, what });
            }
        }
        self.plan_guard_look(node);
        self.watch_guard(node);
        self.judge_exemption(node);
    }

    /// While neither guard nor agent can run, and shortly after, nothing on the node can end PostgreSQL.
    pub fn judge_exemption(&mut self, node: usize) {
        let longest = self.longest_ttl();
        let here = &mut self.nodes[node];
        if !here.runs(Process::Guard) && !here.runs(Process::Agent) {
            here.exempt_until = u64::MAX;
        } else if here.exempt_until == u64::MAX {
            // A virtual machine that missed a pause counts on more of its lease than is left.
            if std::mem::take(&mut here.clock_missed) {
                here.behind_until = self.now + longest + longest / 5;
            }
            here.exempt_until = here.behind_until.max(self.now + SEC);
        }
    }

    /// The agent's process is over, and with it the call to a plugin that it waited for.
    pub fn end_agent(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        here.agent.alive = false;
        here.agent.life += 1;
        here.queue.busy = false;
    }

    /// The agent ends. The guard starts it again, if it can.
    pub fn kill_agent(&mut self, node: usize) {
        self.end_agent(node);
        self.judge_exemption(node);
        let pause = self.rng.range(5 * MS, 400 * MS);
        self.at(self.now + pause, Event::StartAgent { node });
    }

    /// The guard ends: PostgreSQL is told to end by the kernel, jobs die.
    pub fn kill_guard(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        here.guard.alive = false;
        here.guard.life += 1;
        here.writer = None;
        self.watch_guard(node);
        self.judge_exemption(node);
        // SIGQUIT of the parent-death signal: the postmaster ends at once, a backend at the end of its statement.
        if self.nodes[node].runs(Process::Postgres) {
            self.crash_postgres(node);
        }
        if !self.nodes[node].agent.alive {
            self.restart_service(node);
        }
    }

    /// The service manager starts guard and agent anew.
    pub fn restart_service(&mut self, node: usize) {
        let pause = self.rng.range(500 * MS, 3 * SEC);
        self.slowed("a start of the service", pause);
        self.at(self.now + pause, Event::StartGuard { node });
    }

    /// Power is lost: all that is not on the disk is gone.
    pub fn power_off(&mut self, node: usize) {
        self.crash_postgres(node);
        self.end_agent(node);
        let here = &mut self.nodes[node];
        here.powered = false;
        here.held.clear();
        here.writer = None;
        here.guard.alive = false;
        here.guard.life += 1;
        here.exempt_until = 0;
    }

    /// Power is back; the machine boots.
    pub fn power_on(&mut self, node: usize) {
        if self.nodes[node].powered {
            return;
        }
        let now = self.now;
        self.nodes[node].powered = true;
        self.nodes[node].clock.reboot(now);
        self.checks.terms.rebooted(node);
        let pause = self.rng.range(200 * MS, 4 * SEC);
        self.slowed("a boot", pause);
        self.at(self.now + pause, Event::StartGuard { node });
    }

    /// A guard starts: nothing unguarded is left running, no permission is left from before.
    pub fn start_guard(&mut self, node: usize) {
        if !self.nodes[node].powered || self.nodes[node].guard.alive {
            return;
        }
        self.crash_postgres(node);
        if self.nodes[node].agent.alive {
            self.end_agent(node);
        }
        let nonce = self.rng.draw();
        let here = &mut self.nodes[node];
        here.guard = Guard::new(here.guard.life + 1, nonce);
        self.checks.taken[node] = false;
        here.writer = None;
        here.out_of_service = false;
        if here.stopped[Process::Guard as usize] > 0 {
            here.guard.stood_still_at = Some(here.clock.read(self.now).boot);
        }
        self.start_agent(node);
    }

    /// An agent starts under a living guard.
    pub fn start_agent(&mut self, node: usize) {
        let here = &self.nodes[node];
        if !here.powered || !here.guard.alive || here.agent.alive || here.out_of_service {
            return;
        }
        if here.stopped[Process::Guard as usize] > 0 {
            return self.at(self.now + 100 * MS, Event::StartAgent { node });
        }
        let life = here.agent.life + 1;
        let fresh = Agent::new(self, node, life);
        let here = &mut self.nodes[node];
        here.agent = fresh;
        // A job of the agent before this one is ended.
        if here.writer.take().is_some() && here.pg.dir != Dir::Cluster {
            here.pg.dir = Dir::HalfMade;
        }
        self.judge_exemption(node);
        self.agent_begins(node);
    }
}
