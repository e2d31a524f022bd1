//! Where PostgreSQL's programs are.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What a node cannot do without. pg_rewind may be missing: a diverged node is copied anew then.
const NEEDED: [&str; 4] = ["initdb", "pg_basebackup", "pg_controldata", "postgres"];

/// A view of the disk: which programs a directory has, and where to look when none is configured.
pub trait Programs {
    /// Names of the executable files in a directory; `None` when it cannot be read.
    fn executables(&self, directory: &Path) -> Option<BTreeSet<String>>;
    /// Directories to search, the best first.
    fn search(&self) -> Vec<PathBuf>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug)]
pub struct OnDisk;

impl Programs for OnDisk {
    fn executables(&self, directory: &Path) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(directory).ok()?.take(10_000).flatten() {
            let executable =
                fs::metadata(entry.path()).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
            if let Some(name) = entry.file_name().to_str().filter(|_| executable) {
                names.insert(name.to_owned());
            }
        }
        Some(names)
    }

    fn search(&self) -> Vec<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut directories: Vec<PathBuf> = std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect();
        // Debian keeps one directory per major version; the newest is the best guess.
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> =
            versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
        versions.sort();
        directories.extend(versions.into_iter().rev().map(|(_, directory)| directory));
        directories
    }
}

/// Checks the configured directory. On failure: what is wrong.
pub(super) fn check(disk: &dyn Programs, directory: &Path) -> Result<(), String> {
    let Some(found) = disk.executables(directory) else {
        return Err(format!("{} cannot be read; name the directory that has PostgreSQL's programs", directory.display()));
    };
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !found.contains(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let there: Vec<&str> = NEEDED.into_iter().filter(|name| found.contains(*name)).collect();
    let there = if there.is_empty() { "none of PostgreSQL's programs".to_owned() } else { format!("only {}", there.join(", ")) };
    Err(format!(
        "{} has {there}; {} is missing; install PostgreSQL's server package or name its directory",
        directory.display(),
        missing.join(", ")
    ))
}

/// Finds a directory that has everything, when none is configured.
pub(super) fn find(disk: &dyn Programs) -> Option<PathBuf> {
    disk.search().into_iter().find(|directory| check(disk, directory).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_directory() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(check(&OnDisk, directory.path()).unwrap_err().contains("has none of PostgreSQL's programs"));
        place("postgres", 0o755);
        place("initdb", 0o755);
        place("pg_controldata", 0o644);
        let problem = check(&OnDisk, directory.path()).unwrap_err();
        assert!(problem.contains("only initdb, postgres; pg_basebackup, pg_controldata is missing"), "{problem}");
        place("pg_controldata", 0o755);
        place("pg_basebackup", 0o755);
        assert_eq!(check(&OnDisk, directory.path()), Ok(()));
        assert!(check(&OnDisk, &directory.path().join("no")).unwrap_err().contains("cannot be read"));
    }
}
