//! The agent: the same turn as the shipped run loop. Observe, decide, audit, record, begin what was decided, wait.
//!
//! Effects are carried out as the shipped agent does: one of each kind under way, a failed one rests, one job at a time.

use super::{World, effects, event::Local, failsafe::RoundUnderWay, glance::Settled, lease::LeaseCall};
use crate::{
    model::{
        clock::MS,
        guard::{Deadline, Permit},
        keeper::{Adopted, Broken, Keeper},
        store::Snap,
    },
    mutant::Mutant,
};
use std::{collections::VecDeque, rc::Rc, time::Duration};
use tanist_engine::{
    Action, Armed, Decision, Epoch, Failsafe, FenceState, Guard, Lease, Memory, Moment, Observation, Policy, Postgres, Reading,
    Reason, Recorded, Storage, StorageSeen, StoreView, audit, decide_from, failsafe::Naming,
};

/// What a call to the store is for.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Purpose {
    Lease(Box<LeaseCall>),
    Confirm { asked: Reading },
    Relist { watch: u32 },
    Leader { effect: usize },
    Member,
    KeepAlive,
}

/// A call under way.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// It is given up then, true time; never, while it only rests between two tries.
    pub until: u64,
}

/// The keys as the watch shows them.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// The newest copy; nothing: never read.
    pub snap: Option<Rc<Snap>>,
    /// The copy that the observation shows.
    pub viewed: Option<Rc<Snap>>,
    /// How often the store was found to have gone back.
    pub history: u64,
    /// First receipt of the lease record's revision.
    pub received: Reading,
    /// Number of the watch.
    pub watch: u32,
    /// It stands.
    pub watching: bool,
}

/// A running effect or a resting one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// May begin.
    Free,
    /// Is under way.
    Way {
        /// The store has shown something since it began.
        news: bool,
    },
    /// Rests until then.
    Rest(Moment),
    /// The store has taken it, and has not shown anything since; it may begin again then.
    Unshown(Moment),
}

/// An agent's process.
#[derive(Clone)]
pub struct Agent {
    /// Counts its starts.
    pub life: u32,
    /// It lives.
    pub alive: bool,
    /// The engine's memory.
    pub memory: Memory,
    /// The rules in force.
    pub policy: Policy,
    /// What it knows.
    pub seen: Observation,
    /// Looks begun earlier are void.
    pub valid_from: Moment,
    /// What earlier looks say of the names in force is void.
    pub names_valid_from: Moment,
    /// Effects.
    pub effects: [Under; effects::COUNT],
    /// The lease.
    pub keeper: Keeper,
    /// The store's keys.
    pub mirror: Mirror,
    /// Calls under way.
    pub calls: Vec<Call>,
    /// The planned look at calls that may have to be given up.
    pub give_up_at: u64,
    /// A lease call is under way.
    pub lease_busy: bool,
    /// Lease calls that wait for it.
    pub lease_waiting: VecDeque<LeaseCall>,
    /// Number of the running job.
    pub job: u64,
    /// Turns so far.
    pub turns: u64,
    /// Number of the planned wake; an earlier one is void.
    pub(super) wake: u64,
    /// When it is planned. Moved only forward: one that comes too early is planned anew.
    pub(super) wake_planned: u64,
    /// When the next turn is due without news.
    pub(super) wake_at: u64,
    /// A confirmation is under way.
    pub confirming: bool,
    /// The fence carried out by this agent: 0 none, 1 running, 2 complete.
    pub own_fence: u8,
    /// The guard's fence counter when it began.
    pub own_fence_at: u64,
    /// The watch over the guard.
    pub last_armed: Option<Permit>,
    /// The guard's silence does not count before.
    pub lenient_until: u64,
    /// The newest planned look of the watch over the guard.
    pub watchdog: u64,
    /// The newest planned look at PostgreSQL.
    pub look: u64,
    /// The first look without an answer.
    pub unresponsive: Option<Moment>,
    /// The member key as it should be.
    pub member: Option<tanist_engine::Member>,
    /// The round of questions under way, and the answers so far.
    pub round: Option<RoundUnderWay>,
    /// The kind of the last decision's reason.
    pub reason: &'static str,
    /// The last decision asked for nothing.
    pub settled: Option<Settled>,
    last_reason: Option<Reason>,
}

impl Agent {
    /// One that does not run.
    pub fn idle(world: &World, node: usize) -> Self {
        let me = world.names[node].clone();
        let ttl = Duration::from_nanos(world.options.ttl);
        let broken = Broken {
            any_record_of_mine: world.options.without(Mutant::AnyRecordIsMine),
            unconfirmed: world.options.without(Mutant::Unconfirmed),
            over_foreign_key: world.options.without(Mutant::OverForeignKey),
            forgets_agreement: world.options.without(Mutant::AgreementForgotten),
            takes_unnamed: world.options.without(Mutant::UnnamedTakes),
            asks_next_only: world.options.without(Mutant::AsksNextOnly),
            unknown_is_vacant: world.options.without(Mutant::UnknownIsVacant),
        };
        Self {
            life: 0,
            alive: false,
            memory: Memory::default(),
            policy: world.options.policy(node, world.options.mode),
            seen: Observation {
                me: me.clone(),
                lease: Lease::Unknown,
                store: StoreView::default(),
                postgres: Postgres::Unknown,
                guard: Guard { armed: None, newest: Epoch::NONE, fence: FenceState::Complete, budget: Duration::ZERO },
                job: None,
                last_job: None,
                peers: Vec::new(),
                probed: Moment::ZERO,
                promised: Some(world.nodes.get(node).map(|here| here.fence.clone()).unwrap_or_default()),
                directory_replaced: false,
                directory: 0,
                storage: StorageSeen::default(),
                restart: None,
                wal_gone: None,
                unreadable: None,
                stopping: false,
                failsafe: Failsafe { tidy: true, ..Failsafe::default() },
            },
            valid_from: Moment::ZERO,
            names_valid_from: Moment::ZERO,
            effects: [Under::Free; effects::COUNT],
            keeper: Keeper::new(me, 0, ttl, broken),
            mirror: Mirror::default(),
            calls: Vec::new(),
            give_up_at: u64::MAX,
            lease_busy: false,
            lease_waiting: VecDeque::new(),
            job: 0,
            turns: 0,
            wake: 0,
            wake_planned: u64::MAX,
            wake_at: u64::MAX,
            confirming: false,
            own_fence: 0,
            own_fence_at: 0,
            last_armed: None,
            lenient_until: 0,
            watchdog: 0,
            look: 0,
            unresponsive: None,
            member: None,
            round: None,
            reason: "",
            settled: None,
            last_reason: None,
        }
    }

    /// One that has just started under the node's guard.
    pub fn new(world: &World, node: usize, life: u32) -> Self {
        let here = &world.nodes[node];
        let mut agent = Self { life, alive: true, ..Self::idle(world, node) };
        agent.keeper.nonce = here.guard.nonce;
        (agent.seen.directory_replaced, agent.seen.directory) = (here.directory_replaced(), here.directory());
        let now = here.clock.read(world.now);
        agent.lenient_until = now.boot.as_nanos() + 200 * MS;
        if let Some(permit) = here.guard.page.permit() {
            agent.keeper.adopt(Adopted { epoch: permit.epoch, until: permit.until }, now);
            if let Some(kept) = here.kept.clone().filter(|kept| (kept.epoch, kept.nonce) == (permit.epoch, here.guard.nonce)) {
                agent.keeper.naming = Naming::kept(kept.every, kept.ttl);
            }
        }
        agent
    }

    /// The newest fence is this agent's own.
    pub fn has_fenced(&self, fences: u64) -> bool {
        self.own_fence != 0 && fences <= self.own_fence_at
    }
}

impl World {
    /// First steps of an agent.
    pub fn agent_begins(&mut self, node: usize) {
        self.say_node(node, || "agent starts".into());
        self.later(node, MS, Local::Relist { watch: 0 });
        self.kick(node);
        let third = self.ttl(node) / 3;
        self.store.grants[node] = self.ttl(node);
        self.later(node, third, Local::KeepAlive);
        self.later(node, super::storage::TIMEOUT, Local::Storage);
        self.plan_watchdog(node);
        self.broker_begins(node);
        if !self.nodes[node].queue.waiting.is_empty() {
            self.later(node, 5 * MS, Local::Deliver);
        }
        self.turn(node);
    }

    /// The node's clocks.
    pub fn reading(&self, node: usize) -> Reading {
        self.nodes[node].clock.read(self.now)
    }

    /// A line of a node's story.
    pub fn say_node(&mut self, node: usize, line: impl FnOnce() -> String) {
        if self.trace.tells() {
            let text = format!("{} {}", self.names[node], line());
            self.say(|| text);
        }
    }

    /// Takes in what is read at every turn beside failsafe mode: the lease and the guard's page.
    pub(super) fn observe_lease(&mut self, node: usize, lease: Lease) {
        let here = &mut self.nodes[node];
        let (agent, page) = (&mut here.agent, &here.guard.page);
        let fenced = agent.has_fenced(page.fences);
        agent.seen.lease = lease;
        agent.seen.guard = Guard {
            armed: page.permit().filter(|_| !fenced).map(|permit| Armed { epoch: permit.epoch, until: permit.until.boot }),
            newest: page.epoch,
            fence: match agent.own_fence {
                1 if fenced => FenceState::Running,
                2 if fenced => FenceState::Complete,
                _ => page.fence,
            },
            budget: Duration::from_nanos(page.budget),
        };
    }

    /// One turn of the run loop.
    pub fn turn(&mut self, node: usize) {
        let now = self.reading(node);
        let agent = &mut self.nodes[node].agent;
        let before = std::mem::replace(&mut agent.seen.lease, Lease::Unknown);
        let vacant = matches!(before, Lease::Vacant { .. });
        let lease = agent.keeper.lease_after(before, now);
        // Whoever races needs to know where its own WAL ends now.
        if !vacant && matches!(lease, Lease::Vacant { .. }) {
            self.kick(node);
        }
        self.see_failsafe(node);
        self.observe_lease(node, lease);
        self.check_terms(node, now);
        self.check_usurped(node);
        self.check_busy(node);
        let agent = &mut self.nodes[node].agent;
        agent.turns += 1;
        let memory = std::mem::take(&mut agent.memory);
        let replaces = memory.must_replace.is_some();
        let (rested, told) = (memory.no_lead_until, self.trace.tells().then(|| memory.clone()));
        let mut decision = decide_from(&agent.policy, memory, &agent.seen, now.boot);
        let verdict = audit(&agent.policy, &agent.seen, &decision, now.boot).err();
        self.nodes[node].agent.reason = decision.reason.kind();
        self.hash(node, &decision);
        self.check_thrown_away(node, &decision, replaces);
        if let Some(memory) = told {
            self.record(node, now, memory, &decision, verdict.as_ref().map(ToString::to_string));
        }
        if let Some(violation) = verdict {
            self.violate("audit", format!("{} {}: {violation} ({:?})", self.names[node], decision.reason, decision.actions));
            return;
        }
        let agent = &mut self.nodes[node].agent;
        // Where the storage is in trouble, or a switchover is asked for, the position of another one may be what is waited for, and
        // `/status` before a release.
        let down = matches!(agent.seen.postgres, Postgres::Stopped(_) | Postgres::Starting { .. });
        let releases = down && matches!(agent.seen.lease, Lease::Mine(_));
        let calm = agent.seen.storage.state == Storage::Good && !releases && agent.seen.store.switchover.is_none();
        let settled = Settled::after(&decision, &agent.policy, matches!(agent.seen.lease, Lease::Mine(_)), now.boot);
        agent.settled = settled.filter(|_| calm);
        let actions = std::mem::take(&mut decision.actions);
        if let Some(until) = decision.memory.no_lead_until.filter(|until| Some(*until) != rested) {
            self.backs_off(node, until);
        }
        self.nodes[node].agent.memory = std::mem::take(&mut decision.memory);
        self.begin_all(node, actions);
        if !self.nodes[node].agent.alive {
            return;
        }
        self.show_names(node);
        self.wait(node, decision.wake_at, now);
    }

    /// This node lets others win until then, by its own clock.
    pub(super) fn backs_off(&mut self, node: usize, until: Moment) {
        let back = self.nodes[node].clock.when_boot(self.now, until);
        self.slowed("a back-off after a failure", back.saturating_sub(self.now));
    }

    fn hash(&mut self, node: usize, decision: &Decision) {
        let reason = self.coverage.reason(&decision.reason);
        self.trace.hash.add(self.now ^ (node as u64) << 56);
        self.trace.hash.add(reason as u64 | (decision.actions.len() as u64) << 32);
        self.trace.hash.add(decision.wake_at.as_nanos());
    }

    /// Tells the story.
    fn record(&mut self, node: usize, now: Reading, memory: Memory, decision: &Decision, violation: Option<String>) {
        let agent = &self.nodes[node].agent;
        let same = agent.last_reason.as_ref() == Some(&decision.reason)
            && decision.actions.iter().all(|action| matches!(action, Action::Renew));
        if same && violation.is_none() {
            return;
        }
        let entry = Recorded {
            wall_ms: self.now / MS,
            now: now.boot,
            policy: agent.policy.clone(),
            memory,
            seen: agent.seen.clone(),
            decision: decision.clone(),
            violation,
        };
        let actions: Vec<String> = decision.actions.iter().map(|action| format!("{action:?}")).collect();
        self.nodes[node].agent.last_reason = Some(decision.reason.clone());
        if let Some(entries) = &mut self.trace.entries {
            entries.push(entry);
        }
        let reason = decision.reason.to_string();
        self.say_node(node, || format!("{reason} [{}]", actions.join(", ")));
    }

    pub(super) fn begin(&mut self, node: usize, action: Action, now: Reading) {
        match action {
            Action::Arm { epoch, .. } => self.arm(node, epoch),
            Action::Disarm => self.command(node, super::event::Command::Disarm),
            Action::Emit(emission) => self.emit(node, emission),
            Action::AdoptDirectory => self.adopt_seen_directory(node),
            Action::Exit => self.agent_exits(node),
            Action::Run(job) => {
                if self.nodes[node].agent.seen.job.as_ref().is_none_or(|running| running.job.gives_way()) {
                    self.begin_job(node, job, now);
                }
            }
            action => {
                let Some(effect) = effects::kind(&action) else { return };
                let state = &mut self.nodes[node].agent.effects[effect];
                let free = match *state {
                    Under::Free => true,
                    Under::Way { .. } => false,
                    Under::Rest(until) | Under::Unshown(until) => until <= now.boot,
                };
                if free {
                    *state = Under::Way { news: false };
                    self.begin_effect(node, effect, action);
                } else {
                    self.nodes[node].agent.memory.asked_in_vain(&action);
                }
            }
        }
    }

    /// The page's permission, for whoever may use it.
    pub fn armed_epoch(&self, node: usize) -> Option<tanist_engine::Epoch> {
        match self.nodes[node].guard.page.deadline {
            Deadline::Armed(permit) => Some(permit.epoch),
            Deadline::Unarmed | Deadline::Fenced => None,
        }
    }
}
