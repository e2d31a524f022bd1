//! Patroni's own programs, from PyPI: `patronictl` against a cluster of ours, and Patroni itself beside it.

use crate::{
    command::{self, Answer},
    place,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Runs it with a configuration and these arguments to its end.
pub fn patronictl(config: &Path, arguments: &[&str]) -> Answer {
    let mut command = Command::new(installed("bin/patronictl"));
    // The width of the terminal decides about line breaks.
    command.env("LC_ALL", "C.UTF-8").env("COLUMNS", "200").arg("--config-file").arg(config).args(arguments);
    command::finish(&mut command)
}

/// Patroni as the database user runs it: from a copy, as our own programs are.
pub fn patroni() -> Command {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    let packages = PACKAGES.get_or_init(|| {
        let libraries = std::fs::read_dir(installed("lib")).expect("the environment's libraries");
        let mut packages = libraries.flatten().map(|python| python.path().join("site-packages"));
        let (from, to) = (packages.next().expect("one Python"), place::programs().join("patroni"));
        let done = Command::new("cp").arg("-R").args([&from, &to]).status().expect("cp runs");
        assert!(done.success(), "copy {} to {}", from.display(), to.display());
        to
    });
    let python = installed("bin/python").canonicalize().expect("the environment's interpreter");
    let mut command = place::as_database_user(&python);
    command.args(["-m", "patroni"]).env("PYTHONPATH", packages);
    command
}

/// A file of the environment that `scripts/need patronictl` makes.
fn installed(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let home = std::env::var_os("TANIST_PATRONICTL").map_or_else(|| root.join("target/patronictl"), PathBuf::from);
    let file = home.join(path);
    assert!(file.exists(), "{} is missing: run scripts/need patronictl first (make test does)", file.display());
    file
}
