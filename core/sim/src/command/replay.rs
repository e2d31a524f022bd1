//! Decides recorded decisions again and compares: a flight recorder's file, of this simulator or of a real agent.

use crate::trace::Entry;
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};
use tanist_engine::{audit, decide};

/// The command. `false`: a decision differs, or a line cannot be read (a torn last one can).
pub fn replay(path: &Path) -> io::Result<bool> {
    let lines: Vec<String> = BufReader::new(File::open(path)?).lines().collect::<Result<_, _>>()?;
    let (mut same, mut other, mut torn) = (0_u64, 0_u64, 0_u64);
    for (number, line) in lines.iter().enumerate() {
        let entry: Entry = match serde_json::from_str(line) {
            Ok(entry) => entry,
            Err(_) if number + 1 == lines.len() => {
                torn += 1;
                continue;
            }
            Err(error) => {
                println!("line {}: {error}", number + 1);
                other += 1;
                continue;
            }
        };
        let again = decide(&entry.policy, &entry.memory, &entry.seen, entry.now);
        let verdict = audit(&entry.policy, &entry.seen, &again, entry.now).err().map(|violation| violation.to_string());
        if again == entry.decision && verdict == entry.violation {
            same += 1;
        } else {
            other += 1;
            println!("line {}: then {} {:?}", number + 1, entry.decision.reason, entry.decision.actions);
            println!("line {}: now  {} {:?}", number + 1, again.reason, again.actions);
        }
    }
    println!("decisions={} same={same} different={other} torn={torn}", lines.len());
    Ok(other == 0)
}
