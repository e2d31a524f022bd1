//! One schedule: a seed, its faults, what came of it.

use crate::{
    coverage::Coverage,
    fault::{self, Fault},
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

/// Runs a seed with these faults.
pub fn run(seed: u64, faults: Vec<Fault>, mutant: Option<Mutant>, trace: Trace) -> Outcome {
    let mut world = World::new(Options::of(seed, mutant), seed, faults, trace);
    let violation = world.run();
    let mut hash = world.trace.hash;
    hash.add(seed);
    Outcome { violation, hash: hash.value(), coverage: world.coverage, trace: world.trace }
}
