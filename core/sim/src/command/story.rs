//! One schedule, told as the agents' logs would.

use crate::{
    case::Case,
    model::clock::MS,
    mutant::Mutant,
    schedule::{self, Outcome},
    trace::Trace,
};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// The command. `false`: a violation.
pub fn run(case: Case, mutant: Option<Mutant>, save: Option<&Path>) -> std::io::Result<bool> {
    let script = case.script();
    let mut outcome = schedule::run(case, script.clone(), mutant, Trace::telling());
    let options = case.options(mutant);
    println!("{options:?}");
    for fault in &script.faults {
        println!("fault: {fault}");
    }
    for tail in script.tails.iter().flatten() {
        println!("or, from where the schedules of the family part, {} ms later and counted from there:", tail.pause / MS);
        tail.faults.iter().for_each(|fault| println!("fault: {fault}"));
    }
    for line in outcome.trace.story.take().unwrap_or_default() {
        println!("{line}");
    }
    if let Some(path) = save {
        let mut file = BufWriter::new(File::create(path)?);
        for entry in outcome.trace.entries.take().unwrap_or_default() {
            serde_json::to_writer(&mut file, &entry)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
    }
    Ok(concluded(case, &outcome))
}

/// The same beside a Patroni.
pub fn mixed(case: Case) -> bool {
    let mut outcome = schedule::run_mixed(case, None, Trace::telling());
    for line in outcome.trace.story.take().unwrap_or_default() {
        println!("{line}");
    }
    concluded(case, &outcome)
}

fn concluded(case: Case, outcome: &Outcome) -> bool {
    match &outcome.violation {
        Some(violation) => {
            println!("seed={case} violation={}: {} hash={:016x}", violation.invariant, violation.text, outcome.hash)
        }
        None => println!("seed={case} violation=none hash={:016x}", outcome.hash),
    }
    outcome.violation.is_none()
}
