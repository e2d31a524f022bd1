//! Timeline numbers that are passed over. PostgreSQL opens the lowest number above its own that has no history file, so every number
//! between its own and the claimed one gets an empty file.
//!
//! Such a file is a trap for a server that starts in recovery without a real history above it: it takes the highest number of an
//! unbroken row of files for its goal, finds its own WAL to be of another timeline, and is "starting up" for ever. A promotion that
//! was prepared and not carried out, or a follower that was killed while it fetched the row, leaves them; they are cleared away before
//! each start. Those below a real history stay: the row must not break.

use crate::history;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use tanist_engine::Timeline;

/// Why the claimed number cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SkipError {
    /// The claimed number is not above the server's own.
    #[error("timeline {claimed} is claimed, and the server is on {present} already")]
    NotAbove {
        /// What was claimed.
        claimed: Timeline,
        /// Where the server is.
        present: Timeline,
    },
    /// The claimed number is so far above the server's own that the files would fill the disk.
    #[error(
        "timeline {claimed} is claimed, and the server is on {present}: more than {FARTHEST} numbers would be passed over; remove what \
         names such a number from the store (tanist/timelines, members/*)"
    )]
    TooFar {
        /// What was claimed.
        claimed: Timeline,
        /// Where the server is.
        present: Timeline,
    },
    /// There is a history of the claimed number: PostgreSQL would open a higher one.
    #[error("{}: timeline {} was opened by somebody before", .0.display(), .1)]
    Taken(PathBuf, Timeline),
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// At most so many numbers are passed over, each by a file.
const FARTHEST: u32 = 20_000;

/// Makes a promotion from `present` open `claimed`: an empty history file, durably, for every number between, where there is none.
pub fn skip_timelines(data_dir: &Path, present: Timeline, claimed: Timeline) -> Result<(), SkipError> {
    if claimed <= present {
        return Err(SkipError::NotAbove { claimed, present });
    }
    if claimed.0 - present.0 > FARTHEST {
        return Err(SkipError::TooFar { claimed, present });
    }
    let directory = data_dir.join("pg_wal");
    let taken = history::path(data_dir, claimed);
    if taken.try_exists().map_err(at(&taken))? {
        return Err(SkipError::Taken(taken, claimed));
    }
    for number in present.0 + 1..claimed.0 {
        let path = history::path(data_dir, Timeline(number));
        match File::create_new(&path) {
            Ok(file) => file.sync_all().map_err(at(&path))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(at(&path)(error)),
        }
    }
    File::open(&directory).and_then(|directory| directory.sync_all()).map_err(at(&directory))
}

/// Removes the empty history files above the highest real one. Only while no server runs. Returns how many there were.
pub fn forget_skipped(data_dir: &Path) -> Result<usize, SkipError> {
    let directory = data_dir.join("pg_wal");
    let (mut real, mut empty) = (0, Vec::new());
    for entry in fs::read_dir(&directory).map_err(at(&directory))? {
        let path = entry.map_err(at(&directory))?.path();
        let Some(number) = path.file_name().and_then(|name| name.to_str()).and_then(number) else { continue };
        if fs::metadata(&path).map_err(at(&path))?.len() == 0 {
            empty.push((number, path));
        } else {
            real = number.max(real);
        }
    }
    empty.retain(|(number, _)| *number > real);
    for (_, path) in &empty {
        fs::remove_file(path).map_err(at(path))?;
    }
    if !empty.is_empty() {
        File::open(&directory).and_then(|directory| directory.sync_all()).map_err(at(&directory))?;
    }
    Ok(empty.len())
}

/// The timeline of a history file's name.
fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".history").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SkipError {
    let path = path.to_owned();
    move |error| SkipError::File { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pg_wal")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join("pg_wal").join(name), text).unwrap();
        }
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir.join("pg_wal")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_skipped_number_gets_an_empty_history_and_no_other() {
        let dir = directory(&[("00000003.history", "kept")]);
        skip_timelines(dir.path(), Timeline(2), Timeline(6)).unwrap();
        assert_eq!(names(dir.path()), ["00000003.history", "00000004.history", "00000005.history"]);
        assert_eq!(fs::read_to_string(dir.path().join("pg_wal/00000003.history")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(dir.path().join("pg_wal/00000004.history")).unwrap(), "");
        skip_timelines(dir.path(), Timeline(6), Timeline(7)).unwrap();
        assert_eq!(names(dir.path()).len(), 3);
    }

    #[test]
    fn a_number_that_would_not_be_opened_is_refused() {
        let dir = directory(&[("00000004.history", "1\t0/3000148\tx\n")]);
        assert!(matches!(skip_timelines(dir.path(), Timeline(2), Timeline(4)), Err(SkipError::Taken(_, Timeline(4)))));
        assert!(matches!(skip_timelines(dir.path(), Timeline(4), Timeline(4)), Err(SkipError::NotAbove { .. })));
        assert!(matches!(skip_timelines(dir.path(), Timeline(4), Timeline(4_000_000_000)), Err(SkipError::TooFar { .. })));
        assert_eq!(names(dir.path()).len(), 1);
    }

    #[test]
    fn only_what_leads_nowhere_is_forgotten() {
        let dir = directory(&[
            ("00000002.history", ""),
            ("00000003.history", "1\t0/3000148\tx\n"),
            ("00000004.history", ""),
            ("0000000A.history", ""),
            ("000000010000000000000003", ""),
            ("00000009.history.tmp", ""),
        ]);
        assert_eq!(forget_skipped(dir.path()).unwrap(), 2);
        assert_eq!(
            names(dir.path()),
            ["000000010000000000000003", "00000002.history", "00000003.history", "00000009.history.tmp"]
        );
        assert_eq!(forget_skipped(dir.path()).unwrap(), 0);
    }
}
