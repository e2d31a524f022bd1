//! One schedule run, and what came of it.

use crate::{
    case::Case,
    coverage::Coverage,
    fault::{Fault, Kind},
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

/// Runs a schedule beside a Patroni. What the simulator's Patroni cannot play a part in is left out: failsafe mode, which is off where
/// one is seen, other ttl, other keys of its own, a restored store; and a leader key that is deleted by hand, which makes any Patroni the
/// second one.
pub fn run_mixed(case: Case, mutant: Option<Mutant>, trace: Trace) -> Outcome {
    let options = Options { failsafe: false, ..case.options(mutant) };
    let without = [Kind::Failsafe, Kind::Ttl, Kind::LeaderKeyTaken, Kind::LeaderKeyDeleted, Kind::Restore];
    let faults = case.faults().into_iter().filter(|fault| !without.contains(&fault.kind)).collect();
    let mut world = World::new(options, case.seed, faults, trace);
    world.join_patroni();
    outcome(case, world)
}

/// Runs a schedule as it has to be run to show whether that rule is switched off, which `off` says.
pub fn run_for(case: Case, rule: Option<Mutant>, off: bool) -> Outcome {
    let mutant = rule.filter(|_| off);
    match rule.is_some_and(Mutant::needs_patroni) {
        true => run_mixed(case, mutant, Trace::default()),
        false => run(case, case.faults(), mutant, Trace::default()),
    }
}

/// Runs a schedule with these faults instead of its own.
pub fn run(case: Case, faults: Vec<Fault>, mutant: Option<Mutant>, trace: Trace) -> Outcome {
    outcome(case, World::new(case.options(mutant), case.seed, faults, trace))
}

fn outcome(case: Case, mut world: World) -> Outcome {
    let violation = world.run();
    let mut hash = world.trace.hash;
    hash.add(case.seed ^ case.variation << 40);
    Outcome { violation, hash: hash.value(), coverage: world.coverage, trace: world.trace }
}
