//! Shows that the simulator sees bad changes: every rule switched off, and the first seed that catches it.

use super::fuzz::hunt;
use crate::{branching::FAMILY, case::Case, mutant::Mutant, schedule};

/// Schedules tried at once.
const BATCH: u64 = 12 * FAMILY;

/// The first schedule that catches a mutant, and how.
pub fn first_catch(mutant: Mutant, first: u64, schedules: u64, jobs: usize) -> Option<(Case, String)> {
    (0..schedules.div_ceil(BATCH)).find_map(|batch| {
        let begin = batch * BATCH;
        let seed = first.wrapping_add(begin / FAMILY);
        let found = hunt(seed.into(), BATCH.min(schedules - begin), jobs, Some(mutant)).found;
        // What breaks without the mutant too is no catch.
        found.into_iter().find(|(case, _)| schedule::run_for(*case, Some(mutant), false).violation.is_none())
    })
}

/// The command. `false`: a mutant lives.
pub fn mutants(first: u64, schedules: u64, jobs: usize) -> bool {
    let (mut caught, mut living) = (0, Vec::new());
    for mutant in Mutant::ALL {
        match first_catch(mutant, first, schedules, jobs) {
            Some((seed, text)) => {
                caught += 1;
                println!("{mutant:?}: caught by seed {seed}: {text}");
            }
            None => {
                println!("{mutant:?}: LIVES after {schedules} schedules");
                living.push(format!("{mutant:?}"));
            }
        }
    }
    println!(
        "mutants={} caught={caught} living={}{}",
        Mutant::ALL.len(),
        living.len(),
        living.iter().map(|name| format!(" {name}")).collect::<String>()
    );
    living.is_empty()
}
