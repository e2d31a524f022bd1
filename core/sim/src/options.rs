//! What kind of world a seed makes, and which rule is switched off.

use crate::{
    model::clock::{MS, SEC},
    mutant::Mutant,
    rng::Rng,
};
use std::time::Duration;
use tanist_engine::{Diverged, Policy, SyncMode, Tags};

/// Everything heals then, unless nothing goes on before.
pub const HEAL_AT: u64 = 70 * SEC;

/// The options of one schedule.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes.
    pub nodes: usize,
    /// The lease's ttl, nanoseconds.
    pub ttl: u64,
    /// The mode at the beginning.
    pub mode: SyncMode,
    /// Largest lag of a candidate.
    pub maximum_lag: u64,
    /// Upper bound between decisions.
    pub loop_wait: u64,
    /// Everything heals then.
    pub heal_at: u64,
    /// The end.
    pub end: u64,
    /// `primary_start_timeout`.
    pub start_timeout: Option<Duration>,
    /// Runs to its end even when all has long been well.
    pub whole: bool,
    /// Runs for a while when all is well, also in the brisk form.
    pub watched: bool,
    /// Turns that are saved are decided all the same, and compared.
    pub second_looks: bool,
    /// The tags of one node, whose number comes first; the others have none.
    pub tagged: (usize, Tags),
    /// Claims of timelines do not say which one was left: those of an older version.
    pub no_parents: bool,
    /// Clients write nothing after that.
    pub quiet_from: u64,
    /// What becomes of data that have left the cluster's history.
    pub diverged: Diverged,
    /// Failsafe mode at the beginning.
    pub failsafe: bool,
    /// Agents write again what the store has taken and not shown yet, as fast as it answers: as those of an older version did, under which
    /// the first scenarios were found.
    pub eager: bool,
    /// Time in which nothing goes on is cut short (`world::calm`), and what finds nothing new takes no time.
    pub brisk: bool,
    /// The checkpoint before a planned stop takes up to half a minute.
    pub slow_checkpoints: bool,
    /// The rule that is switched off.
    pub mutant: Option<Mutant>,
}

/// Commits wait for one chosen standby, for two, or for any one or two of all.
fn several(seed: u64, strict: bool) -> SyncMode {
    let mut rng = Rng::new(seed).fork(11);
    let node_count = if rng.chance(300) { 2 } else { 1 };
    if rng.chance(400) { SyncMode::Quorum { strict, node_count } } else { SyncMode::On { strict, node_count } }
}

impl Options {
    /// What a seed says.
    pub fn of(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut rng = Rng::new(seed).fork(7);
        let nodes = match rng.below(20) {
            0..=2 => 2,
            3..=15 => 3,
            16..=17 => 4,
            18 => 5,
            _ => 7,
        };
        let mode = match rng.below(10) {
            0..=3 => SyncMode::Off,
            4..=7 => several(seed, false),
            _ => several(seed, true),
        };
        Self {
            nodes,
            ttl: [5 * SEC, 5 * SEC, 6 * SEC, 10 * SEC][rng.index(4)],
            mode,
            maximum_lag: [1_500, 100_000, 1 << 20][rng.index(3)],
            loop_wait: rng.range(2 * SEC, 10 * SEC),
            heal_at: HEAL_AT,
            end: 120 * SEC,
            start_timeout: [None, None, Some(Duration::ZERO), Some(Duration::from_secs(3))][rng.index(4)],
            whole: seed % 8 == 1,
            watched: seed % 4 == 2,
            second_looks: seed % 16 == 2,
            diverged: Diverged { rewind: Rng::new(seed).fork(18).chance(600), ..Diverged::default() },
            tagged: tagged(Rng::new(seed).fork(9), nodes),
            no_parents: Rng::new(seed).fork(13).chance(100),
            quiet_from: if Rng::new(seed).fork(17).chance(120) { 30 * SEC } else { u64::MAX },
            failsafe: Rng::new(seed).fork(19).chance(500),
            eager: Rng::new(seed).fork(20).chance(100),
            brisk: false,
            slow_checkpoints: false,
            mutant,
        }
    }

    /// The tags of a node.
    pub fn tags(&self, node: usize) -> Tags {
        if self.tagged.0 == node { self.tagged.1 } else { Tags::default() }
    }

    /// The engine's policy on a node, in a mode.
    pub fn policy(&self, node: usize, mode: SyncMode) -> Policy {
        Policy {
            ttl: Duration::from_nanos(self.ttl),
            loop_wait: Duration::from_nanos(self.loop_wait),
            retry_timeout: Duration::from_nanos(1500 * MS),
            maximum_lag_on_failover: self.maximum_lag,
            synchronous: mode,
            primary_start_timeout: self.start_timeout,
            primary_stop_timeout: Duration::ZERO,
            diverged: self.diverged,
            failsafe: self.failsafe,
            tags: self.tags(node),
        }
    }

    /// A rule is switched off.
    pub fn without(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// One of twelve clusters of three and more has a node with a tag; enough others may lead and be synchronous.
fn tagged(mut rng: Rng, nodes: usize) -> (usize, Tags) {
    if nodes < 3 || !rng.chance(80) {
        return (0, Tags::default());
    }
    let tags = match rng.below(3) {
        0 => Tags { nofailover: true, ..Tags::default() },
        1 => Tags { nosync: true, ..Tags::default() },
        _ => Tags { failover_priority: Some(rng.range(0, 4) as i32), ..Tags::default() },
    };
    (rng.index(nodes), tags)
}
