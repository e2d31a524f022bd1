//! Decides recorded decisions again and compares: a flight recorder's file, of this simulator or of a real agent.

use std::{fs, io, path::Path};
use tanist_engine::Recorded;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The same decision, bit for bit.
    pub same: u64,
    /// Another one, or a line that cannot be read or holds more than is read.
    pub different: u64,
    /// A last line that was not written to its end.
    pub torn: u64,
}

/// Decides every line again, and prints what differs.
pub fn replayed(path: &Path) -> io::Result<Replayed> {
    let mut count = Replayed::default();
    for (number, line) in fs::read(path)?.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else {
            count.torn += 1;
            break;
        };
        let difference = match serde_json::from_slice::<Recorded>(line) {
            Err(error) => Some(error.to_string()),
            Ok(recorded) => match recorded.again() {
                Some(difference) => Some(difference.to_string()),
                None if serde_json::to_vec(&recorded)? != line => Some("holds more than is read".to_owned()),
                None => None,
            },
        };
        match difference {
            None => count.same += 1,
            Some(difference) => {
                count.different += 1;
                println!("line {}: {difference}", number + 1);
            }
        }
    }
    Ok(count)
}

/// The command. `false`: something differs.
pub fn replay(path: &Path) -> io::Result<bool> {
    let Replayed { same, different, torn } = replayed(path)?;
    println!("decisions={} same={same} different={different} torn={torn}", same + different);
    Ok(different == 0)
}
