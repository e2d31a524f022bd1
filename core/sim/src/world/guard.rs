//! The guard at work: commands, the deadline, the fence; and the agent's watch over it.

use super::{
    World,
    event::{Command, Inside, Local, Process},
};
use crate::{
    model::{
        clock::{MS, SEC},
        guard::{Deadline, Permit},
        postgres::{Dir, Server},
    },
    mutant::Mutant,
};
use tanist_engine::{Epoch, FenceState, Job, JobOutcome, Postgres, StopMode, SyncNames, Upstream};

impl World {
    /// Sends a command.
    pub fn command(&mut self, node: usize, command: Command) {
        let took = self.rng.range(MS / 20, MS);
        let at = (self.now + took).max(self.nodes[node].commands_at);
        self.nodes[node].commands_at = at;
        self.later(node, at - self.now, Local::Command(Box::new(command)));
    }

    /// An event in the guard's process. The deadline comes before everything else.
    pub fn guard_event(&mut self, node: usize, what: Local) {
        if !matches!(what, Local::Fenced { .. }) {
            // One thread: while it fences, everything else waits.
            if self.nodes[node].guard.page.fence == FenceState::Running {
                return self.later(node, 4 * MS, what);
            }
            self.over_and_fenced(node);
            if self.nodes[node].guard.page.fence == FenceState::Running {
                return self.later(node, 4 * MS, what);
            }
        }
        match what {
            Local::Command(command) => self.obey(node, *command),
            Local::GuardLook { look } if self.nodes[node].guard.look == look => self.plan_guard_look(node),
            // What is left of it is fenced; the permission stays.
            Local::PostmasterEnded if self.nodes[node].guard.page.fence != FenceState::Complete => self.guard_fences(node),
            Local::Fenced { complete, began } => self.fence_step(node, complete, began),
            Local::PromoteFile { .. } if self.storage_hangs(node) => self.later(node, 100 * MS, what),
            Local::PromoteFile { job, epoch, timeline } => self.promote_file(node, job, epoch, timeline),
            _ => {}
        }
    }

    pub(super) fn margin(&self, node: usize) -> u64 {
        if self.options.without(Mutant::NoBudget) { 0 } else { self.nodes[node].guard.page.budget }
    }

    pub(super) fn permit_left(&self, node: usize, permit: &Permit, margin: u64) -> u64 {
        let now = self.reading(node);
        if self.options.without(Mutant::BootClockOnly) {
            return permit.until.boot.as_nanos().saturating_sub(margin).saturating_sub(now.boot.as_nanos());
        }
        permit.left(now, margin)
    }

    fn over_and_fenced(&mut self, node: usize) {
        let Deadline::Armed(permit) = self.nodes[node].guard.page.deadline else { return };
        if self.permit_left(node, &permit, self.margin(node)) > 0 || self.options.without(Mutant::GuardNeverFences) {
            return;
        }
        self.say_node(node, || "guard: the lease is over, fencing".into());
        self.check_fenced(node);
        self.take_deadline(node);
        self.guard_fences(node);
    }

    fn take_deadline(&mut self, node: usize) {
        if self.armed_epoch(node).is_some() {
            self.deadline_taken(node, true);
        }
        self.nodes[node].guard.page.take();
    }

    /// Plans the guard's next look: when the first clock reaches the deadline, and late by what a loaded machine is late.
    pub fn plan_guard_look(&mut self, node: usize) {
        let Deadline::Armed(permit) = self.nodes[node].guard.page.deadline else { return };
        let margin = std::time::Duration::from_nanos(self.margin(node));
        let here = &self.nodes[node];
        let mut at = here.clock.when_boot(self.now, permit.until.boot.minus(margin));
        if !self.options.without(Mutant::BootClockOnly) {
            at = at.min(here.clock.when_raw(self.now, permit.until.raw.minus(margin)));
        }
        let late = self.rng.range(0, 13 * MS);
        let guard = &mut self.nodes[node].guard;
        guard.look += 1;
        let look = guard.look;
        self.later(node, at.saturating_sub(self.now) + late, Local::GuardLook { look });
    }

    fn obey(&mut self, node: usize, command: Command) {
        let now = self.reading(node);
        if let Command::Start { job, .. } | Command::Promote { job, .. } | Command::Writer { job, .. } = &command {
            self.nodes[node].guard.served = *job;
        }
        match command {
            Command::Arm(permit) => {
                let longest = self.nodes[node].guard.longest;
                if self.nodes[node].guard.page.arm(permit, longest, now) {
                    self.deadline_taken(node, false);
                    self.plan_guard_look(node);
                    self.plan_watchdog(node);
                    self.tell_agent(node, 0);
                } else {
                    self.tell_agent(node, if self.options.eager { 0 } else { 50 * MS });
                }
            }
            Command::Disarm => {
                let server = self.nodes[node].pg.server;
                let writable = matches!(server, Server::Primary | Server::Promoting | Server::Starting { as_primary: true, .. });
                if !writable {
                    self.nodes[node].guard.page.deadline = Deadline::Unarmed;
                }
                self.tell_agent(node, 0);
            }
            Command::Fence => {
                self.take_deadline(node);
                self.guard_fences(node);
            }
            Command::Start { job, replaced, .. } if self.replaced_unseen(node, replaced) => self.refuse(node, job),
            Command::Start { job, primary, upstream, names, .. } => self.start_postgres(node, job, primary, upstream, names),
            Command::Promote { job, epoch, timeline } => {
                let permitted = self.permitted(node, epoch) && self.nodes[node].pg.server == Server::Standby;
                if !permitted {
                    return self.refuse(node, job);
                }
                let took = self.rng.range(MS, 30 * MS);
                self.later(node, took, Local::PromoteFile { job, epoch, timeline });
            }
            Command::Stop { job, mode } => self.stop_postgres(node, job, mode),
            Command::Writer { job, copy_of, rewinds, names } => self.begin_writer(node, job, copy_of, rewinds, names),
            Command::KillJobs => self.nodes[node].writer = None,
        }
    }

    fn permitted(&self, node: usize, epoch: Epoch) -> bool {
        if self.options.without(Mutant::PromoteUnarmed) {
            return true;
        }
        let page = &self.nodes[node].guard.page;
        match page.deadline {
            Deadline::Armed(permit) => permit.epoch == epoch && self.permit_left(node, &permit, page.budget) > 0,
            Deadline::Unarmed | Deadline::Fenced => false,
        }
    }

    fn refuse(&mut self, node: usize, job: u64) {
        self.later(node, MS / 10, Local::JobEnded { job, outcome: JobOutcome::Failed("the guard refused".to_owned()) });
    }

    /// Something on the page has changed; a refusal is told after a pause.
    fn tell_agent(&mut self, node: usize, pause: u64) {
        if self.nodes[node].agent.alive {
            let turns = self.nodes[node].agent.turns;
            self.later(node, pause + MS / 10, Local::Nudge { turns });
        }
    }

    fn start_postgres(&mut self, node: usize, job: u64, primary: Option<Epoch>, upstream: Option<Upstream>, names: SyncNames) {
        let busy = self.nodes[node].pg.server != Server::Down || self.nodes[node].writer.is_some();
        let forbidden = primary.is_some_and(|epoch| !self.permitted(node, epoch));
        if busy || forbidden || self.nodes[node].pg.dir != Dir::Cluster {
            return self.refuse(node, job);
        }
        if let Some(epoch) = primary {
            self.check_permission(node, epoch);
            self.check_restarted(node);
        }
        let own = primary.map(|epoch| (epoch, self.names[node].clone()));
        if let Some((epoch, leader)) = own.or(upstream.as_ref().map(|upstream| (upstream.epoch, upstream.name.clone()))) {
            self.remember(node, epoch, leader);
        }
        let since = self.reading(node).boot;
        let here = &mut self.nodes[node];
        if primary.is_none() && here.guard.page.deadline == Deadline::Fenced {
            here.guard.page.deadline = Deadline::Unarmed;
        }
        here.guard.page.fence = FenceState::Open;
        here.pg.life += 1;
        here.pg.server = Server::Starting { since, as_primary: primary.is_some() };
        here.pg.upstream = upstream;
        here.pg.names_file = names.clone();
        here.pg.names = names;
        here.pg.names_next = None;
        here.pg.exhausted = false;
        here.pg.writable_epoch = primary.unwrap_or_default();
        let slow = if here.slow[3] > 0 { self.rng.range(0, 12 * SEC) } else { 0 };
        let clean = self.nodes[node].pg.clean;
        let took = slow + if clean { self.rng.range(30 * MS, 400 * MS) } else { self.rng.range(100 * MS, 2 * SEC) };
        self.slowed("a recovery", took);
        self.later(node, took, Local::Inside(Inside::Up));
        self.later(node, MS / 10, Local::JobEnded { job, outcome: JobOutcome::Done });
        self.nodes[node].agent.seen.restart = None;
        self.postgres_changed(node, Postgres::Starting { since, as_primary: primary.is_some() });
        self.plan_watchdog(node);
    }

    fn promote_file(&mut self, node: usize, job: u64, epoch: Epoch, timeline: u32) {
        if !self.permitted(node, epoch) || self.nodes[node].pg.server != Server::Standby {
            return self.refuse(node, job);
        }
        self.check_permission(node, epoch);
        self.remember(node, epoch, self.names[node].clone());
        self.drop_connection(node);
        self.nodes[node].pg.server = Server::Promoting;
        // It resumes replay that was paused, and ends readers that hold it up.
        let held = if self.nodes[node].replay.moves() { 0 } else { self.rng.range(300 * MS, 1_500 * MS) };
        self.nodes[node].replay.paused = false;
        let took =
            held + if self.nodes[node].slow[1] > 0 { self.rng.range(SEC, 14 * SEC) } else { self.rng.range(20 * MS, 300 * MS) };
        self.slowed("a promotion", took);
        self.later(node, took, Local::Inside(Inside::Promoted { epoch, timeline }));
    }

    fn stop_postgres(&mut self, node: usize, job: u64, mode: StopMode) {
        match self.nodes[node].pg.server {
            Server::Down => {
                self.later(node, MS, Local::JobEnded { job, outcome: JobOutcome::Done });
            }
            _ if mode == StopMode::Immediate => {
                self.crash_postgres(node);
                self.later(node, MS, Local::JobEnded { job, outcome: JobOutcome::Done });
            }
            _ => self.shut_down(node),
        }
    }

    /// A fence begins. Until every signal is sent, backends go on.
    fn guard_fences(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        if here.guard.page.fence == FenceState::Running {
            return;
        }
        here.guard.page.fence = FenceState::Running;
        let most = here.guard.page.budget.saturating_sub(20 * MS).max(30 * MS);
        let took = if here.slow[0] > 0 { self.rng.range(most / 2, most) } else { self.rng.range(5 * MS, 80 * MS) };
        let began = self.now;
        self.later(node, took, Local::Fenced { complete: false, began });
        self.tell_agent(node, 0);
    }

    fn fence_step(&mut self, node: usize, complete: bool, began: u64) {
        if !complete {
            let spared = self.options.without(Mutant::FenceSparesBackends);
            if !spared {
                self.crash_postgres(node);
            }
            let here = &mut self.nodes[node];
            here.writer = None;
            if here.pg.dir != Dir::Cluster && here.pg.dir != Dir::Empty {
                here.pg.dir = Dir::HalfMade;
            }
            here.guard.longest = here.guard.longest.max(self.now - began);
            let took = self.rng.range(10 * MS, 400 * MS);
            return self.later(node, took, Local::Fenced { complete: true, began });
        }
        let here = &mut self.nodes[node];
        here.guard.page.fence = FenceState::Complete;
        here.guard.page.fences += 1;
        self.fence_reported(node);
    }

    pub(super) fn fence_reported(&mut self, node: usize) {
        self.say_node(node, || "fence complete".into());
        if !self.nodes[node].agent.alive {
            return;
        }
        self.postgres_changed(node, Postgres::Unknown);
        self.later(node, MS, Local::EffectEnded { effect: super::effects::FENCE, done: true });
        let agent = &self.nodes[node].agent;
        if let Some(running) = &agent.seen.job {
            // What still waits in the socket comes after the fence.
            let waits = matches!(running.job, Job::Start(_) | Job::Promote { .. } | Job::Clone { .. } | Job::Bootstrap);
            if waits && self.nodes[node].guard.served != agent.job {
                return;
            }
            let (job, outcome) = match running.job {
                Job::Stop(_) => (agent.job, JobOutcome::Done),
                _ => (agent.job, JobOutcome::Failed("fenced".to_owned())),
            };
            self.later(node, MS, Local::JobEnded { job, outcome });
        }
    }

    /// The postmaster has ended without being asked to: the guard fences what is left.
    pub fn postmaster_died(&mut self, node: usize) {
        if self.nodes[node].guard.alive {
            self.later(node, MS, Local::PostmasterEnded);
        }
    }

    /// The agent ends because the guard is dead; the service manager starts both.
    pub fn last_exit(&mut self, node: usize, _dead_guard: bool) {
        self.end_agent(node);
        if !self.nodes[node].guard.alive {
            self.restart_service(node);
        }
    }

    /// The agent ends in order, and the guard with it.
    pub fn agent_exits(&mut self, node: usize) {
        self.say_node(node, || "agent exits".into());
        self.check_exit(node);
        self.end_agent(node);
        let here = &mut self.nodes[node];
        here.out_of_service = true;
        here.guard.alive = false;
        here.guard.life += 1;
        here.guard.page.deadline = Deadline::Unarmed;
        self.crash_postgres(node);
        let txn = crate::model::store::Txn { compares: Vec::new(), then: vec![crate::model::store::Op::Revoke(node)] };
        if self.store.apply(txn, self.now).1 {
            self.committed();
        }
        if !self.nodes[node].stop_wanted {
            // It took longer than the operator waited: started again.
            self.nodes[node].out_of_service = false;
            self.restart_service(node);
        }
    }

    /// Whether the guard or the agent of a node can fence it.
    pub fn watched(&self, node: usize) -> bool {
        let here = &self.nodes[node];
        here.runs(Process::Guard) || here.runs(Process::Agent)
    }
}
