//! One schedule, told as the agents' logs would.

use crate::{mutant::Mutant, schedule, trace::Trace};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// The command. `false`: a violation.
pub fn run(seed: u64, mutant: Option<Mutant>, save: Option<&Path>) -> std::io::Result<bool> {
    let faults = schedule::faults(seed);
    let outcome = schedule::run(seed, faults.clone(), mutant, Trace::telling());
    let options = crate::options::Options::of(seed, mutant);
    println!("{options:?}");
    for fault in &faults {
        println!("fault: {fault}");
    }
    for line in outcome.trace.story.unwrap_or_default() {
        println!("{line}");
    }
    if let Some(path) = save {
        let mut file = BufWriter::new(File::create(path)?);
        for entry in outcome.trace.entries.unwrap_or_default() {
            serde_json::to_writer(&mut file, &entry)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
    }
    match &outcome.violation {
        Some(violation) => {
            println!("seed={seed} violation={}: {} hash={:016x}", violation.invariant, violation.text, outcome.hash)
        }
        None => println!("seed={seed} violation=none hash={:016x}", outcome.hash),
    }
    Ok(outcome.violation.is_none())
}
