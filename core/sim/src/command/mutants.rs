//! Shows that the simulator sees bad changes: every rule switched off, and the first seed that catches it.

use super::fuzz::hunt;
use crate::mutant::Mutant;

/// Schedules tried at once.
const BATCH: u64 = 2_000;

/// The command. `false`: a mutant lives.
pub fn mutants(first: u64, schedules: u64, jobs: usize) -> bool {
    let (mut caught, mut living) = (0, Vec::new());
    for mutant in Mutant::ALL {
        let mut tried = 0;
        let mut by = None;
        while tried < schedules && by.is_none() {
            let batch = BATCH.min(schedules - tried);
            by = hunt(first.wrapping_add(tried), batch, jobs, Some(mutant)).found.into_iter().next();
            tried += batch;
        }
        match by {
            Some((seed, text)) => {
                caught += 1;
                println!("{mutant:?}: caught by seed {seed}: {text}");
            }
            None => {
                println!("{mutant:?}: LIVES after {tried} schedules");
                living.push(format!("{mutant:?}"));
            }
        }
    }
    println!("mutants={} caught={caught} living={}{}", Mutant::ALL.len(), living.len(), living.iter().map(|name| format!(" {name}")).collect::<String>());
    living.is_empty()
}
