//! `tanist replay`: decides what a flight recorder holds once more, with the engine of this very program, and compares.
//!
//! Needs no cluster. Another version may well decide otherwise; that is what one wants to know before an upgrade.

use super::Failure;
use clap::Args;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tanist_engine::Recorded;

/// Arguments of `tanist replay`.
#[derive(Args)]
pub struct Arguments {
    /// Flight recorders: `flight.jsonl` in a node's state directory, and the older `flight.1.jsonl`
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Default)]
struct Count {
    decisions: u64,
    different: u64,
    torn: u64,
}

/// Prints what differs, and the counts.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut count = Count::default();
    for path in &arguments.files {
        replay(path, &mut count).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    }
    let Count { decisions, different, torn } = count;
    println!("decisions={decisions} same={} different={different} torn={torn}", decisions - different);
    if decisions == 0 {
        return Err(Failure::failed("there is no decision in it"));
    }
    if different > 0 {
        return Err(Failure::failed("decisions differ: the file is of another version, or was changed"));
    }
    Ok(())
}

fn replay(path: &Path, count: &mut Count) -> io::Result<()> {
    for (number, line) in fs::read(path)?.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else {
            // The agent writes at this moment, or died while it did.
            count.torn += 1;
            break;
        };
        let difference = match serde_json::from_slice::<Recorded>(line) {
            Err(error) => Some(error.to_string()),
            Ok(recorded) => recorded
                .again()
                .map(|difference| difference.to_string())
                .or_else(|| foreign(&recorded, line).then(|| "holds more than this version reads".to_owned())),
        };
        count.decisions += 1;
        if let Some(difference) = difference {
            count.different += 1;
            println!("{}:{}: {difference}", path.display(), number + 1);
        }
    }
    Ok(())
}

/// Written again it is another line: a part of it was not read.
fn foreign(recorded: &Recorded, line: &[u8]) -> bool {
    serde_json::to_vec(recorded).ok().as_deref() != Some(line)
}
