//! The simulated world: an event queue, the models, the real engine on every node, and the invariants after every event.

pub mod agent;
mod broker;
mod calls;
mod calm;
mod directory;
mod effects;
pub mod event;
mod failsafe;
mod faults;
mod glance;
mod guard;
mod heard;
mod jobs;
mod lease;
pub mod node;
mod observers;
pub(crate) mod parting;
mod patroni;
mod pause;
mod postgres;
mod probe;
mod replay;
mod replication;
pub mod storage;
mod ttl;
pub(crate) mod view;
mod wake;
mod watchdog;

use crate::{
    branching::Script,
    coverage::Coverage,
    fault::Fault,
    invariant::{Checks, Violation},
    model::{
        clock::{MS, NodeClock, SEC},
        network::Network,
        patroni::Patroni,
        store::Store,
    },
    options::Options,
    queue::Queue,
    rng::Rng,
    trace::Trace,
};
use agent::Agent;
use event::{Event, Local};
use node::Node;
use parting::Partings;
use tanist_engine::MemberName;

/// Whoever is being copied anew at the end, or has a limit of its own to wait for, is given so much longer.
const GRACE: u64 = 15 * SEC;

/// The world.
#[derive(Clone)]
pub struct World {
    /// True time, nanoseconds.
    pub now: u64,
    queue: Queue,
    /// Chance.
    pub rng: Rng,
    /// Chance of the plugins that the shipped queue calls.
    plugin_chance: Rng,
    /// What kind of world.
    pub options: Options,
    /// The store.
    pub store: Store,
    /// It answers again then.
    pub store_up_at: u64,
    /// The network.
    pub net: Network,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Their names.
    pub names: Vec<MemberName>,
    /// The Patroni of a mixed cluster.
    pub patroni: Option<Patroni>,
    /// What has to hold.
    pub checks: Checks,
    /// What has been reached.
    pub coverage: Coverage,
    /// What happened.
    pub trace: Trace,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Where it parts from others of its family.
    pub(crate) partings: Partings,
    /// The next agent that is about to make something writable stands still until then.
    pub trap: Option<u64>,
    /// Everything has been healed.
    pub healed: bool,
    /// The planned look at the store's expiries.
    expire_at: u64,
    numbers: u64,
    branches: u32,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(options: Options, seed: u64, script: Script, trace: Trace) -> Self {
        let Script { faults, tails } = script;
        let partings = Partings { tails, ..Partings::default() };
        let mut rng = Rng::new(seed).fork(1);
        let nodes = options.nodes;
        let names: Vec<MemberName> = (1..=nodes).map(|number| MemberName(format!("n{number}").into())).collect();
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            store: Store::new(nodes, options.ttl),
            store_up_at: 0,
            net: Network::new(nodes),
            nodes: Vec::with_capacity(nodes),
            names,
            patroni: None,
            checks: Checks::new(nodes),
            coverage: Coverage::default(),
            trace,
            faults,
            partings,
            trap: None,
            healed: false,
            expire_at: u64::MAX,
            numbers: 0,
            branches: 0,
            rng: rng.fork(2),
            plugin_chance: Rng::new(seed).fork(3),
            options,
        };
        for node in 0..nodes {
            // Oscillators are up to 0.5 % off.
            let clock = NodeClock::new(rng.range(SEC, 1_000_000 * SEC), rng.range(0, 10_001) as i64 - 5_000);
            let agent = Agent::idle(&world, node);
            world.nodes.push(Node::new(agent, clock, node));
            world.nodes[node].guard.alive = false;
            world.at(rng.range(0, 300 * MS), Event::StartGuard { node });
        }
        for index in 0..world.faults.len() {
            world.at(world.faults[index].at, Event::Begin(index));
        }
        world.at(world.options.heal_at, Event::Heal);
        if world.options.brisk {
            world.plan_calm();
        }
        world
    }

    /// Runs to the end, or to the first violation.
    pub fn run(&mut self) {
        while self.run_on() {}
    }

    /// Runs to the end, to the first violation, or to the next parting. `true`: it is there.
    pub fn run_on(&mut self) -> bool {
        let mut held = self.partings.held.take().and_then(|(at, event)| Some((at, self.part(event)?)));
        while let Some((at, event)) = held.take().or_else(|| self.queue.pop()) {
            if at > self.options.end && (at > self.options.end + GRACE || self.well(true).is_ok()) {
                break;
            }
            self.now = at;
            if self.parts_at(&event) {
                self.partings.held = Some((at, event));
                return true;
            }
            self.happen(event);
            self.check();
            if self.checks.violation.is_some() || self.is_over() {
                break;
            }
        }
        if self.checks.violation.is_none() {
            self.check_end();
        }
        false
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Local { node, life, what } => self.local(node, life, what),
            Event::Arrive { node, life, call, txn } => self.arrive(node, life, call, *txn),
            Event::Message { node, what } => {
                let life = self.nodes[node].life(what.process());
                self.local(node, life, *what);
            }
            Event::WriterEnds { node, job } => self.writer_ends(node, job),
            Event::Expire => self.expire(),
            Event::Begin(index) => self.begin_fault(index),
            Event::End(index) => self.end_fault(index),
            Event::StartGuard { node } => self.start_guard(node),
            Event::StartAgent { node } => self.start_agent(node),
            Event::Thaw { node } => self.thaw(node, &[event::Process::Agent]),
            Event::Patroni(step) => self.patroni(step),
            Event::Heal => self.heal(),
            Event::Calm => self.calm(),
            Event::Check => {}
        }
    }

    /// Plans an event; time does not run backwards.
    pub fn at(&mut self, at: u64, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    /// Plans something in a process of a node, in its present life.
    pub fn later(&mut self, node: usize, after: u64, what: Local) {
        let life = self.nodes[node].life(what.process());
        self.at(self.now + after, Event::Local { node, life, what });
    }

    /// A number never used before.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A branch never used before.
    pub fn branch(&mut self) -> u32 {
        self.branches += 1;
        self.branches
    }

    /// The node of that name.
    pub fn find(&self, name: &MemberName) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// A line of the story.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if self.trace.tells() {
            let at = self.now;
            self.trace.tell(at, line());
        }
    }

    /// Something must not have happened.
    pub fn violate(&mut self, invariant: &'static str, text: String) {
        // The others judge a cluster in which only tanists lead.
        if self.patroni.is_some() && !matches!(invariant, "I1" | "I2" | "I3" | "I4") {
            return;
        }
        let at = self.now;
        self.say(|| format!("VIOLATION {invariant}: {text}"));
        self.checks.violation.get_or_insert(Violation { invariant, text, at });
    }
}
