//! Patroni's own `patronictl`, from PyPI, run against a cluster of ours.

use crate::command::{self, Answer};
use std::path::{Path, PathBuf};

/// Runs it with a configuration and these arguments to its end.
pub fn patronictl(config: &Path, arguments: &[&str]) -> Answer {
    let mut command = std::process::Command::new(program());
    // The width of the terminal decides about line breaks.
    command.env("LC_ALL", "C.UTF-8").env("COLUMNS", "200").arg("--config-file").arg(config).args(arguments);
    command::finish(&mut command)
}

/// Where `scripts/need patronictl` puts it.
fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let installed =
        std::env::var_os("TANIST_PATRONICTL").map_or_else(|| root.join("target/patronictl/bin/patronictl"), PathBuf::from);
    assert!(installed.is_file(), "{} is missing: run scripts/need patronictl first (make test does)", installed.display());
    installed
}
