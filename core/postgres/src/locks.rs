//! Lock files of a server that is gone.
//!
//! PostgreSQL refuses to start while the process of `postmaster.pid`, or of the socket's lock file, exists, whatever it is: after a crash
//! of a machine or a container that number belongs to somebody else, or to a thread. What cannot be mistaken is the working directory:
//! every process of a server has its data directory as its own. Nobody works there: the locks are stale.

use crate::Settings;
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Programs that work in a data directory, by the beginning of their names, as the guard knows them.
const PROGRAMS: [&str; 5] = ["postgres", "postmaster", "edb-postgres", "pg_", "initdb"];

/// A lock cannot be judged or removed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct LocksError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Removes `postmaster.pid` and the lock files of this data directory's sockets if no process of PostgreSQL works in it; what was
/// removed. To be called before a start, while no server of ours runs.
pub fn remove_stale_locks(settings: &Settings) -> Result<Vec<PathBuf>, LocksError> {
    let stale = candidates(settings)?;
    if stale.is_empty() || is_worked_in(&settings.data_dir)? {
        return Ok(Vec::new());
    }
    for path in &stale {
        crate::files::remove(path).map_err(|error| LocksError { path: path.clone(), error })?;
    }
    Ok(stale)
}

/// The lock files that say to be of this directory.
fn candidates(settings: &Settings) -> Result<Vec<PathBuf>, LocksError> {
    let mut found = Vec::new();
    let own = settings.data_dir.join("postmaster.pid");
    if own.try_exists().map_err(|error| LocksError { path: own.clone(), error })? {
        found.push(own);
    }
    let listed = settings.parameters.get("unix_socket_directories").map(String::as_str).unwrap_or_default();
    let listed = listed.split(',').map(|directory| PathBuf::from(directory.trim().trim_matches('"')));
    let mut directories: Vec<PathBuf> =
        listed.filter(|directory| directory.is_absolute()).chain([settings.socket_dir.clone()]).collect();
    directories.sort();
    directories.dedup();
    for directory in directories {
        let path = directory.join(format!(".s.PGSQL.{}.lock", settings.port));
        // The second line is the data directory. What cannot be read is another user's.
        let Ok(text) = fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&text);
        if text.lines().nth(1).is_some_and(|named| is_same(Path::new(named), &settings.data_dir)) {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((fs::metadata(one), fs::metadata(other)), (Ok(one), Ok(other)) if (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Whether a process of PostgreSQL works in the directory. One that cannot be looked at counts where it runs as the directory's owner.
fn is_worked_in(data_dir: &Path) -> Result<bool, LocksError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| LocksError { path, error }
    };
    let home = fs::metadata(data_dir).map_err(at(data_dir))?;
    let proc = Path::new("/proc");
    for entry in fs::read_dir(proc).map_err(at(proc))? {
        let entry = entry.map_err(at(proc))?;
        if !entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let process = entry.path();
        let works_here = match fs::metadata(process.join("cwd")) {
            Ok(cwd) => (cwd.dev(), cwd.ino()) == (home.dev(), home.ino()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs::metadata(&process).is_ok_and(|found| found.uid() == home.uid())
            }
            // It has ended, or is a zombie.
            Err(_) => false,
        };
        if works_here && is_postgres(&process) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An operator's shell in the directory is no server. Where the file of the program cannot be told its short name can.
fn is_postgres(process: &Path) -> bool {
    let file = fs::read_link(process.join("exe")).ok().and_then(|program| program.file_name().map(ToOwned::to_owned));
    let name = match file {
        Some(file) => file.to_string_lossy().into_owned(),
        None => fs::read_to_string(process.join("comm")).unwrap_or_default(),
    };
    PROGRAMS.iter().any(|known| name.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::sample;

    #[test]
    fn only_locks_of_a_directory_that_nobody_works_in_go() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = root.path().join("data");
        let other = root.path().join("other");
        for directory in [&data_dir, &other, &root.path().join("more")] {
            fs::create_dir(directory).unwrap();
        }
        std::os::unix::fs::symlink(&data_dir, root.path().join("link")).unwrap();
        let mut settings = Settings { data_dir: root.path().join("link"), socket_dir: root.path().to_owned(), ..sample() };
        let listed = format!("\"{}\", {}", root.path().display(), root.path().join("more").display());
        settings.parameters.insert("unix_socket_directories".into(), listed);
        let lock = |directory: &str| root.path().join(directory).join(format!(".s.PGSQL.{}.lock", settings.port));
        assert_eq!(remove_stale_locks(&settings).unwrap(), Vec::<PathBuf>::new());
        // The number of a process that lives, as after a crash of the machine.
        let me = std::process::id();
        fs::write(data_dir.join("postmaster.pid"), format!("{me}\n")).unwrap();
        fs::write(lock(""), format!("{me}\n{}\n", data_dir.display())).unwrap();
        fs::write(lock("more"), format!("{me}\n{}\n", other.display())).unwrap();

        let program = root.path().join("postgres-like");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut server = std::process::Command::new(&program).arg("60").current_dir(&data_dir).spawn().unwrap();
        let mut shell = std::process::Command::new("/bin/sleep").arg("60").current_dir(&data_dir).spawn().unwrap();
        // Between fork and exec it is still this test.
        while !fs::read_link(format!("/proc/{}/exe", server.id())).is_ok_and(|exe| exe == program) {
            std::thread::yield_now();
        }
        let kept = remove_stale_locks(&settings);
        server.kill().unwrap();
        // Not reaped: a zombie works nowhere.
        while fs::metadata(format!("/proc/{}/cwd", server.id())).is_ok() {
            std::thread::yield_now();
        }
        let removed = remove_stale_locks(&settings);
        for child in [&mut server, &mut shell] {
            let _ = child.kill();
            child.wait().unwrap();
        }
        assert_eq!(kept.unwrap(), Vec::<PathBuf>::new());
        assert_eq!(removed.unwrap(), [root.path().join("link/postmaster.pid"), lock("")]);
        assert!(lock("more").exists(), "another server's");
    }
}
