//! One schedule: a seed, its faults, what came of it.

use crate::{
    coverage::Coverage,
    fault::{self, Fault, Kind},
    invariant::Violation,
    mutant::Mutant,
    options::Options,
    trace::Trace,
    world::World,
};

/// What came of a schedule.
pub struct Outcome {
    /// The first violation.
    pub violation: Option<Violation>,
    /// The hash of its trace.
    pub hash: u64,
    /// What it reached.
    pub coverage: Coverage,
    /// Its story and decisions, where they were asked for.
    pub trace: Trace,
}

/// The faults of a seed.
pub fn faults(seed: u64) -> Vec<Fault> {
    fault::schedule(seed, &Options::of(seed, None))
}

/// Runs a seed beside a Patroni. What the simulator's Patroni cannot play a part in is left out: failsafe mode, which is off where one is
/// seen, other ttl, other keys of its own, a restored store; and a leader key that is deleted by hand, which makes any Patroni the second
/// one.
pub fn run_mixed(seed: u64, mutant: Option<Mutant>, trace: Trace) -> Outcome {
    let options = Options { failsafe: false, ..Options::of(seed, mutant) };
    let without = [Kind::Failsafe, Kind::Ttl, Kind::LeaderKeyTaken, Kind::LeaderKeyDeleted, Kind::Restore];
    let faults = faults(seed).into_iter().filter(|fault| !without.contains(&fault.kind)).collect();
    let mut world = World::new(options, seed, faults, trace);
    world.join_patroni();
    let violation = world.run();
    let mut hash = world.trace.hash;
    hash.add(seed);
    Outcome { violation, hash: hash.value(), coverage: world.coverage, trace: world.trace }
}

/// Runs a seed as it has to be run to show whether that rule is switched off, which `off` says.
pub fn run_for(seed: u64, rule: Option<Mutant>, off: bool) -> Outcome {
    let mutant = rule.filter(|_| off);
    match rule.is_some_and(Mutant::needs_patroni) {
        true => run_mixed(seed, mutant, Trace::default()),
        false => run(seed, faults(seed), mutant, Trace::default()),
    }
}

/// Runs a seed with these faults.
pub fn run(seed: u64, faults: Vec<Fault>, mutant: Option<Mutant>, trace: Trace) -> Outcome {
    let mut world = World::new(Options::of(seed, mutant), seed, faults, trace);
    let violation = world.run();
    let mut hash = world.trace.hash;
    hash.add(seed);
    Outcome { violation, hash: hash.value(), coverage: world.coverage, trace: world.trace }
}
