//! One schedule, told as the agents' logs would.

use crate::{
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
pub fn run(seed: u64, mutant: Option<Mutant>, save: Option<&Path>) -> std::io::Result<bool> {
    let faults = schedule::faults(seed);
    let mut outcome = schedule::run(seed, faults.clone(), mutant, Trace::telling());
    let options = crate::options::Options::of(seed, mutant);
    println!("{options:?}");
    for fault in &faults {
        println!("fault: {fault}");
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
    Ok(concluded(seed, &outcome))
}

/// The same beside a Patroni.
pub fn mixed(seed: u64) -> bool {
    let mut outcome = schedule::run_mixed(seed, None, Trace::telling());
    for line in outcome.trace.story.take().unwrap_or_default() {
        println!("{line}");
    }
    concluded(seed, &outcome)
}

fn concluded(seed: u64, outcome: &Outcome) -> bool {
    match &outcome.violation {
        Some(violation) => {
            println!("seed={seed} violation={}: {} hash={:016x}", violation.invariant, violation.text, outcome.hash)
        }
        None => println!("seed={seed} violation=none hash={:016x}", outcome.hash),
    }
    outcome.violation.is_none()
}
