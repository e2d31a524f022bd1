//! Where PostgreSQL's programs are.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a node cannot do without. pg_rewind may be missing: a diverged node is copied anew then.
const NEEDED: [&str; 4] = ["initdb", "pg_basebackup", "pg_controldata", "postgres"];

/// A view of the disk: which programs a directory has, and where to look when none is configured.
pub trait Programs {
    /// Names of the executable files in a directory; `None` when it cannot be read.
    fn executables(&self, directory: &Path) -> Option<BTreeSet<String>>;
    /// Directories to search, the best first.
    fn search(&self) -> Vec<PathBuf>;
    /// The major version that made the data in a directory. `None`: there are none, or they cannot be read.
    fn version_of_data(&self, _: &Path) -> Option<u32> {
        None
    }
    /// The major version of the programs in a directory, if they say it.
    fn version(&self, _: &Path) -> Option<u32> {
        None
    }
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

    fn version_of_data(&self, data_dir: &Path) -> Option<u32> {
        fs::read_to_string(data_dir.join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    fn version(&self, directory: &Path) -> Option<u32> {
        let output = Command::new(directory.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `postgres (PostgreSQL) 19beta1`.
        let number = said.split_once("(PostgreSQL) ")?.1;
        number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
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

/// Where Debian keeps the programs of a major version.
fn debian(major: u32) -> PathBuf {
    format!("/usr/lib/postgresql/{major}/bin").into()
}

/// Finds a directory that has everything, when none is configured: of the version that made the data, where there are data. On failure:
/// what is wrong.
pub(super) fn find(disk: &dyn Programs, data_dir: Option<&Path>) -> Result<PathBuf, String> {
    let wanted = data_dir.and_then(|data_dir| disk.version_of_data(data_dir));
    let first = wanted.map(debian);
    let complete = first.into_iter().chain(disk.search()).filter(|directory| check(disk, directory).is_ok());
    let mut other = None;
    for directory in complete {
        match fits(disk, &directory, data_dir) {
            Ok(()) => return Ok(directory),
            Err(problem) => other = other.or(Some(problem)),
        }
    }
    Err(other.unwrap_or_else(|| {
        "is missing, and neither PATH nor /usr/lib/postgresql has PostgreSQL's programs; name their directory".to_owned()
    }))
}

/// Whether these programs can run the data that are there. On failure: what is wrong.
pub(super) fn fits(disk: &dyn Programs, directory: &Path, data_dir: Option<&Path>) -> Result<(), String> {
    let data = data_dir.and_then(|data_dir| Some((data_dir, disk.version_of_data(data_dir)?)));
    match data.and_then(|(data_dir, data)| Some((data_dir, data, disk.version(directory)?))) {
        Some((data_dir, data, programs)) if data != programs => Err(format!(
            "{} has programs of PostgreSQL {programs}, and {} says {data}; install PostgreSQL {data} and name its directory, or upgrade \
             the data with pg_upgrade",
            directory.display(),
            data_dir.join("PG_VERSION").display()
        )),
        _ => Ok(()),
    }
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
    /// Versions 14 and 17 are installed, and nothing in PATH says which is meant.
    struct Two;

    impl Programs for Two {
        fn executables(&self, directory: &Path) -> Option<BTreeSet<String>> {
            self.version(directory).map(|_| NEEDED.map(str::to_owned).into())
        }

        fn search(&self) -> Vec<PathBuf> {
            vec![debian(17), debian(14)]
        }

        fn version_of_data(&self, data_dir: &Path) -> Option<u32> {
            data_dir.to_str()?.strip_prefix("/data/")?.parse().ok()
        }

        fn version(&self, directory: &Path) -> Option<u32> {
            [14, 17].into_iter().find(|major| directory == debian(*major))
        }
    }

    #[test]
    fn the_version_of_the_data_is_searched_for() {
        for (data_dir, found) in [("/data/14", 14), ("/data/17", 17), ("/data/none", 17)] {
            assert_eq!(find(&Two, Some(Path::new(data_dir))), Ok(debian(found)), "{data_dir}");
        }
        assert_eq!(find(&Two, None), Ok(debian(17)));
        let problem = find(&Two, Some(Path::new("/data/16"))).unwrap_err();
        let expected = "/usr/lib/postgresql/17/bin has programs of PostgreSQL 17, and /data/16/PG_VERSION says 16; \
                        install PostgreSQL 16 and name its directory, or upgrade the data with pg_upgrade";
        assert_eq!(problem, expected);
        assert!(fits(&Two, &debian(14), Some(Path::new("/data/17"))).unwrap_err().contains("programs of PostgreSQL 14"));
    }

    #[test]
    fn programs_say_their_version() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(OnDisk.version_of_data(directory.path()), None);
        fs::write(directory.path().join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(OnDisk.version_of_data(directory.path()), Some(15));
        assert_eq!(OnDisk.version(directory.path()), None);
        assert_eq!(OnDisk.version(Path::new("/usr/lib/postgresql/15/bin")), Some(15));
    }
}
