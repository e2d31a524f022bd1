//! One schedule run, and what came of it.

use crate::{
    branching::{Path, Script, Tail, WAYS},
    case::Case,
    coverage::Coverage,
    fault::Kind,
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
    let mut script = case.script();
    for faults in script.lists() {
        faults.retain(|fault| !without.contains(&fault.kind));
    }
    let mut world = World::new(options, case.seed, script, trace);
    world.join_patroni();
    outcome(case, world)
}

/// Runs a schedule as it has to be run to show whether that rule is switched off, which `off` says.
pub fn run_for(case: Case, rule: Option<Mutant>, off: bool) -> Outcome {
    let mutant = rule.filter(|_| off);
    match rule.is_some_and(Mutant::needs_patroni) {
        true => run_mixed(case, mutant, Trace::default()),
        false => run(case, case.script(), mutant, Trace::default()),
    }
}

/// Runs a schedule with these faults instead of its own.
pub fn run(case: Case, script: Script, mutant: Option<Mutant>, trace: Trace) -> Outcome {
    outcome(case, World::new(case.options(mutant), case.seed, script, trace))
}

/// Runs so many schedules of the family of one, from the straight one on; what they share is run once. What is broken before they part is
/// told of the first that comes to it, and the others that would come to it are left out.
pub fn family(case: Case, many: u64, mutant: Option<Mutant>, mut each: impl FnMut(Case, Outcome)) {
    if mutant.is_some_and(Mutant::needs_patroni) {
        return (0..many).for_each(|index| {
            let case = Case { path: Path::number(index), ..case };
            each(case, run_for(case, mutant, true));
        });
    }
    let case = Case { path: Path::default(), ..case };
    let world = World::new(case.options(mutant), case.seed, case.script(), Trace::default());
    grow(case, world, &mut { many }, &mut each);
}

fn grow(case: Case, mut world: World, left: &mut u64, each: &mut impl FnMut(Case, Outcome)) {
    if !world.run_on() {
        *left -= 1;
        return each(case, concluded(case, world));
    }
    let parting = world.partings.next;
    for way in 0..WAYS[parting] {
        if *left == 0 {
            return;
        }
        let case = Case { path: case.path.turned(parting, way), ..case };
        let mut world = world.clone();
        world.partings.tails[parting] = Tail::of(case, parting);
        grow(case, world, left, each);
    }
}

fn outcome(case: Case, mut world: World) -> Outcome {
    world.run();
    concluded(case, world)
}

fn concluded(case: Case, world: World) -> Outcome {
    let mut hash = world.trace.hash;
    hash.add(case.seed ^ case.variation << 40);
    Outcome { violation: world.checks.violation, hash: hash.value(), coverage: world.coverage, trace: world.trace }
}
