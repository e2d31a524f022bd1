//! Patroni's own programs, from PyPI: `patronictl` against a cluster of ours, and Patroni itself beside it.

use crate::command::{self, Answer};
use std::path::{Path, PathBuf};

/// Runs it with a configuration and these arguments to its end.
pub fn patronictl(config: &Path, arguments: &[&str]) -> Answer {
    let mut command = std::process::Command::new(program("patronictl"));
    // The width of the terminal decides about line breaks.
    command.env("LC_ALL", "C.UTF-8").env("COLUMNS", "200").arg("--config-file").arg(config).args(arguments);
    command::finish(&mut command)
}

/// The program `patroni`.
pub fn patroni() -> PathBuf {
    program("patroni")
}

/// Where `scripts/need patronictl` puts them.
fn program(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let home = std::env::var_os("TANIST_PATRONICTL").map_or_else(|| root.join("target/patronictl"), PathBuf::from);
    let program = home.join("bin").join(name);
    assert!(program.is_file(), "{} is missing: run scripts/need patronictl first (make test does)", program.display());
    program
}
