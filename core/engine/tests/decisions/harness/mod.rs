//! The scenario language: facts in, decisions out, as text that reads like a log.
//!
//! A scenario is a list of commands, one per line, that change the observation; `decide` asks the engine, and the lines that begin
//! with `=`, `-` or `~` after it are its reason, its effects, and when it wants to be asked again. Commands are in `facts.rs`; `lands`
//! carries out the last decision's effects (`world.rs`), as an executor with a willing world would.

pub mod facts;
pub mod interrupt;
pub mod render;
pub mod world;

use std::time::Duration;
use tanist_engine::*;

/// One node, its memory, and the last decision.
pub struct Scene {
    pub policy: Policy,
    pub memory: Memory,
    pub seen: Observation,
    pub now: Moment,
    pub last: Option<Decision>,
}

impl Default for Scene {
    fn default() -> Self {
        let policy = Policy {
            diverged: Diverged::default(),
            ttl: Duration::from_secs(5),
            loop_wait: Duration::from_secs(10),
            retry_timeout: Duration::from_secs(10),
            maximum_lag_on_failover: 1 << 20,
            synchronous: SyncMode::Off,
            primary_start_timeout: None,
            primary_stop_timeout: Duration::ZERO,
            failsafe: false,
            tags: Tags::default(),
        };
        let guard = Guard { armed: None, newest: Epoch::NONE, fence: FenceState::Open, budget: Duration::from_millis(300) };
        let seen = Observation {
            me: MemberName::from("a"),
            lease: Lease::Unknown,
            store: StoreView::default(),
            postgres: Postgres::Unknown,
            guard,
            job: None,
            last_job: None,
            peers: Vec::new(),
            probed: Moment::ZERO,
            promised: None,
            directory_replaced: false,
            directory: 0,
            storage: StorageSeen::default(),
            restart: None,
            wal_gone: None,
            unreadable: None,
            stopping: false,
            failsafe: Failsafe { tidy: true, ..Failsafe::default() },
        };
        // This agent has seen the lease with others: nothing of one before it is under way.
        let memory = Memory { sync_clear: true, ..Memory::default() };
        Self { policy, memory, seen, now: Moment::ZERO + Duration::from_secs(100), last: None }
    }
}

impl Scene {
    /// Asks the engine and its auditor.
    pub fn decide(&mut self) -> String {
        let decision = decide(&self.policy, &self.memory, &self.seen, self.now);
        if let Err(violation) = audit(&self.policy, &self.seen, &decision, self.now) {
            panic!("audit: {violation}\n{decision:#?}\n{:#?}", self.seen);
        }
        interrupt::after(self, &decision);
        self.memory = decision.memory.clone();
        let text = render::decision(&decision, self.now);
        self.last = Some(decision);
        text
    }
}

/// Runs a scenario and returns its text with the engine's present answers.
pub fn run(text: &str) -> String {
    let mut scene = Scene::default();
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with(['=', '-', '~'])) {
        out.push_str(line);
        out.push('\n');
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["decide"] => out.push_str(&scene.decide()),
            ["lands"] => world::lands(&mut scene),
            ["begins"] => world::begins(&mut scene),
            ["done"] => world::ends(&mut scene, JobOutcome::Done),
            ["fails"] => world::ends(&mut scene, JobOutcome::Failed("exit code 1".to_owned())),
            ["forget"] => scene.memory = Memory::default(),
            [command, rest @ ..] => facts::apply(&mut scene, command, rest),
        }
    }
    out
}
