//! `tanist check-config`: everything that is to be said about a configuration file.

use super::{Failure, run::environment};
use crate::config::check;
use std::path::Path;

/// Prints it; fails when the file cannot be used.
pub fn run(config: &Path) -> Result<(), Failure> {
    let mut outcome = check(config, &environment());
    let last = outcome.lines.pop().unwrap_or_default();
    for line in &outcome.lines {
        println!("{line}");
    }
    if outcome.exit_code == 0 {
        println!("{last}");
        Ok(())
    } else {
        Err(Failure::config(last))
    }
}
