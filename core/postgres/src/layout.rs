//! A data directory without a server: nothing, a half-made copy, or a cluster. Reads only, except for the mark of unfinished work.
//!
//! Whether a server runs is not asked here: the guard knows. Files are looked at on a thread of their own: a disk that hangs holds up
//! whoever waits for the answer, and nobody else.

use crate::{
    ControlData, ControlError, Settings, files,
    mark::{self, BACKUP_LABEL, Mark, Work, is_vacant, label_line},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tanist_engine::{Postgres, Stopped};

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// The directory is absent or empty.
    NoData,
    /// A bootstrap or clone did not finish; the content is worthless.
    HalfMade,
    /// A cluster.
    Cluster {
        /// Its control file.
        control: ControlData,
        /// The major version of `PG_VERSION`.
        major: u32,
        /// A base backup that no server has started yet. Its control file is its source's and says nothing of this directory's history.
        copied: bool,
        /// It was rewound, and no server has started it yet: all of its WAL is its source's, and ends where the control file says. Before
        /// it is consistent it may need more of that.
        rewound: bool,
    },
}

impl OnDisk {
    /// The engine's view, for when no server runs.
    pub fn postgres(&self) -> Postgres {
        match self {
            Self::NoData => Postgres::NoData,
            Self::HalfMade => Postgres::HalfMade,
            Self::Cluster { control, copied: false, rewound, .. } => {
                let stopped = control.stopped();
                Postgres::Stopped(Stopped { end_known: stopped.end_known || *rewound, ..stopped })
            }
            Self::Cluster { control, .. } => {
                Postgres::Stopped(Stopped { was_primary: false, end_known: false, ..control.stopped() })
            }
        }
    }
}

/// Why nothing can be said about a directory.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has content that is no cluster; nobody may delete it.
    #[error("{}: not empty, and not a PostgreSQL data directory; name another postgresql.data_dir or empty it", .0.display())]
    Foreign(PathBuf),
    /// The version is not supported.
    #[error("{}: PostgreSQL version `{version}`; supported are 13 to 18", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its content.
        version: String,
    },
    /// There is a mark of unfinished work, and a cluster that is not that work.
    #[error(
        "{}: work on this directory was begun and not finished ({}), and what is there now is not that work but a complete cluster: it \
         is neither started nor thrown away; to keep it remove the mark, to have it replaced empty the directory",
        dir.display(),
        marks.iter().map(|mark| mark.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Marked {
        /// The data directory.
        dir: PathBuf,
        /// The marks.
        marks: Vec<PathBuf>,
    },
    /// What was to be emptied has something in it.
    #[error("{}: could not be emptied; see empty.log in tanist.state_dir, and empty it by hand", .0.display())]
    NotEmptied(PathBuf),
    /// pg_rewind ended well and has changed nothing.
    #[error("pg_rewind has not rewound anything")]
    NotRewound,
    /// The control file cannot be read.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Looks at the data directory. Waits as long as its disk does; `limit` is for the program that reads the control file.
pub async fn inspect(settings: &Settings, limit: Duration) -> Result<OnDisk, LayoutError> {
    let kept = settings.clone();
    let surveyed = tokio::task::spawn_blocking(move || survey(&kept)).await;
    match surveyed.map_err(|error| LayoutError::Read { path: settings.data_dir.clone(), error: io::Error::other(error) })?? {
        Survey::NoData => Ok(OnDisk::NoData),
        Survey::HalfMade => Ok(OnDisk::HalfMade),
        Survey::Cluster { major, copied, rewound } => {
            Ok(OnDisk::Cluster { control: ControlData::read(settings, limit).await?, major, copied, rewound })
        }
    }
}

/// [`OnDisk`] without the control file.
enum Survey {
    NoData,
    HalfMade,
    Cluster { major: u32, copied: bool, rewound: bool },
}

fn survey(settings: &Settings) -> Result<Survey, LayoutError> {
    let dir = &settings.data_dir;
    let read = |path: &Path| {
        let path = path.to_owned();
        move |error| LayoutError::Read { path, error }
    };
    if is_vacant(dir).map_err(read(dir))? {
        return Ok(Survey::NoData);
    }
    let Some(rewound) = by_marks(settings)? else { return Ok(Survey::HalfMade) };
    let path = dir.join("PG_VERSION");
    let version = match fs::read_to_string(&path) {
        Ok(version) => version,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LayoutError::Foreign(dir.clone())),
        Err(error) => return Err(read(&path)(error)),
    };
    let major = version.trim().parse().ok().filter(|major| (13..=18).contains(major));
    let Some(major) = major else {
        return Err(LayoutError::Version { path, version: version.trim().chars().take(20).collect() });
    };
    let method = backup_method(dir).map_err(read(&dir.join(BACKUP_LABEL)))?;
    if rewound && method.as_deref() != Some("pg_rewind") {
        // A server took the label, and ended before it was consistent.
        return Ok(Survey::HalfMade);
    }
    let copied = method.as_deref() == Some("streamed");
    Ok(Survey::Cluster { major, copied, rewound })
}

/// What the marks say of a directory that is not empty: whether it was rewound; `None`: it is unfinished. A mark whose work is not what is
/// there says nothing of it, and nobody may throw away what is there because of it.
fn by_marks(settings: &Settings) -> Result<Option<bool>, LayoutError> {
    let dir = &settings.data_dir;
    let mut rewound = false;
    let mut others = Vec::new();
    for (path, mark) in Mark::all(settings).map_err(unreadable)? {
        match (mark.fits(dir).map_err(|error| LayoutError::Read { path: dir.clone(), error })?, mark.work) {
            (false, _) => others.push(path),
            (true, Some(Work::Rewound)) => rewound = true,
            (true, _) => return Ok(None),
        }
    }
    if !others.is_empty() && !rewound {
        return Err(LayoutError::Marked { dir: dir.clone(), marks: others });
    }
    Ok(Some(rewound))
}

fn unreadable((path, error): (PathBuf, io::Error)) -> LayoutError {
    LayoutError::Read { path, error }
}

/// How the directory came to be, while no server has started it: `streamed` is a base backup. Up to version 14 a primary in exclusive
/// backup mode has such a file, too, of another method.
fn backup_method(dir: &Path) -> io::Result<Option<String>> {
    label_line(dir, "BACKUP METHOD:")
}

/// Marks the data directory as unfinished, durably. To be called before anything of it is changed, be it emptied or rewound.
///
/// The mark is in the state directory and, where its parent can be written, beside the data directory: a lost state directory does
/// not make a torn copy look whole.
pub fn begin_work(settings: &Settings, work: Work) -> Result<Mark, LayoutError> {
    let mut spaces: Vec<PathBuf> =
        Mark::all(settings).map_err(unreadable)?.into_iter().flat_map(|(_, mark)| mark.spaces).collect();
    spaces.sort();
    spaces.dedup();
    let mark = Mark::new(&settings.data_dir, work, spaces)
        .map_err(|error| LayoutError::Read { path: settings.data_dir.clone(), error })?;
    mark::write(settings, &mark).map_err(unreadable)?;
    Ok(mark)
}

/// The data directory was emptied, and the program that fills it comes next. `spaces` are the locations of tablespaces that it will fill
/// besides: those that have nothing in them now are noted, for what is in them later is this work. Whoever has something there keeps it,
/// and pg_basebackup refuses to copy.
pub fn emptied(settings: &Settings, mut mark: Mark, spaces: Vec<PathBuf>) -> Result<Mark, LayoutError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |error| LayoutError::Read { path, error }
    };
    if !is_vacant(&settings.data_dir).map_err(read(&settings.data_dir))? {
        return Err(LayoutError::NotEmptied(settings.data_dir.clone()));
    }
    mark.before = None;
    for space in spaces {
        if !mark.spaces.contains(&space) && is_vacant(&space).map_err(read(&space))? {
            mark.spaces.push(space);
        }
    }
    mark::write(settings, &mark).map_err(unreadable)?;
    Ok(mark)
}

/// pg_rewind has ended well. The directory may be started with its source to follow, and nothing else, until [`settle`].
pub fn end_rewind(settings: &Settings) -> Result<(), LayoutError> {
    let dir = &settings.data_dir;
    let label = dir.join(BACKUP_LABEL);
    match backup_method(dir) {
        Ok(method) if method.as_deref() == Some("pg_rewind") => {}
        Ok(_) => return Err(LayoutError::NotRewound),
        Err(error) => return Err(LayoutError::Read { path: label, error }),
    }
    files::sync_parent(&label).map_err(|error| LayoutError::Read { path: dir.clone(), error })?;
    begin_work(settings, Work::Rewound).map(drop)
}

/// The server is consistent: what a rewind left marked is an ordinary directory from now on.
pub fn settle(settings: &Settings) -> Result<(), LayoutError> {
    let marks = Mark::all(settings).map_err(unreadable)?;
    let rewound = marks.iter().any(|(_, mark)| mark.work == Some(Work::Rewound));
    if rewound { end_work(settings) } else { Ok(()) }
}

/// Takes the marks away. To be called after the program ended well; makes its result durable first.
pub fn end_work(settings: &Settings) -> Result<(), LayoutError> {
    let dir = &settings.data_dir;
    // initdb and pg_basebackup fsync their files themselves; the directory's own entry is ours to make durable.
    files::sync_parent(&dir.join("PG_VERSION"))
        .and_then(|()| files::sync_parent(dir))
        .map_err(|error| LayoutError::Read { path: dir.clone(), error })?;
    mark::remove(settings).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(root: &Path) -> Settings {
        let settings =
            Settings { data_dir: root.join("data"), state_dir: root.join("state"), ..crate::settings::tests::sample() };
        fs::create_dir(&settings.state_dir).unwrap();
        settings
    }

    async fn look(settings: &Settings) -> Result<OnDisk, LayoutError> {
        inspect(settings, Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn absent_empty_foreign_and_half_made() {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path());
        assert_eq!(look(&settings).await.unwrap(), OnDisk::NoData);
        fs::create_dir(&settings.data_dir).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::NoData);
        fs::write(settings.data_dir.join("precious"), "x").unwrap();
        assert!(matches!(look(&settings).await, Err(LayoutError::Foreign(_))));

        begin_work(&settings, Work::Clone).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade);
        fs::remove_file(settings.state_dir.join("unfinished")).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade, "the mark beside is enough");
        end_work(&settings).unwrap();
        assert!(matches!(look(&settings).await, Err(LayoutError::Foreign(_))));
    }

    #[tokio::test]
    async fn a_rewind_counts_only_whole_and_before_its_first_start() {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path());
        fs::create_dir(&settings.data_dir).unwrap();
        fs::write(settings.data_dir.join("PG_VERSION"), "15\n").unwrap();
        begin_work(&settings, Work::Rewind).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade);
        assert!(matches!(end_rewind(&settings), Err(LayoutError::NotRewound)));
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade);
        fs::write(settings.data_dir.join(BACKUP_LABEL), "BACKUP METHOD: pg_rewind\nBACKUP FROM: standby\n").unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade, "the label alone says nothing");
        end_rewind(&settings).unwrap();
        assert!(
            matches!(look(&settings).await, Err(LayoutError::Control(_))),
            "a whole directory, whose control file is asked for"
        );
        // One of the marks is from before: a crash between the two.
        fs::write(settings.state_dir.join("unfinished"), "rewind").unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade);
        end_rewind(&settings).unwrap();
        // Started, and ended before it was consistent.
        fs::remove_file(settings.data_dir.join(BACKUP_LABEL)).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade);
        settle(&settings).unwrap();
        assert!(matches!(look(&settings).await, Err(LayoutError::Control(_))));
        begin_work(&settings, Work::Clone).unwrap();
        settle(&settings).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade, "only a rewind is settled");
    }

    /// What an operator has restored into a directory whose copy, rewind or bootstrap had failed.
    #[tokio::test]
    async fn a_cluster_that_is_not_the_marked_work_is_never_thrown_away() {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path());
        let dir = &settings.data_dir;
        let replace = || {
            let _ = fs::remove_dir_all(dir);
            crate::mark::tests::control(dir, 1_600_000_000);
            fs::write(dir.join("PG_VERSION"), "15\n").unwrap();
            fs::write(dir.join("postmaster.opts"), "").unwrap();
        };
        for work in [Work::Clone, Work::Bootstrap, Work::Rewind, Work::Rewound] {
            replace();
            let mark = begin_work(&settings, work).unwrap();
            match work {
                Work::Rewound => assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade, "no label"),
                _ => assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade, "what was there at the beginning"),
            }
            fs::rename(dir, root.path().join(work.name())).unwrap();
            assert_eq!(look(&settings).await.unwrap(), OnDisk::NoData);
            replace();
            let error = look(&settings).await.unwrap_err();
            let LayoutError::Marked { marks, .. } = &error else { panic!("{work:?}: {error}") };
            assert_eq!(marks.len(), 2);
            let said = error.to_string();
            assert!(said.contains("state/unfinished") && said.contains("data.tanist-unfinished"), "{said}");
            // Without the marks it is a cluster like any other.
            end_work(&settings).unwrap();
            assert!(matches!(look(&settings).await, Err(LayoutError::Control(_))), "its control file is asked for");
            // Back in a copy's place, with the label of that copy and of another one.
            if work == Work::Clone {
                begin_work(&settings, work).unwrap();
                fs::remove_dir_all(dir).unwrap();
                let mark = emptied(&settings, mark, Vec::new()).unwrap();
                replace();
                fs::write(dir.join(BACKUP_LABEL), format!("START WAL LOCATION: 0/2\nLABEL: {}\n", mark.label())).unwrap();
                assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade, "the copy");
                fs::write(dir.join(BACKUP_LABEL), b"LABEL: \xffother\nBACKUP METHOD: streamed\n").unwrap();
                assert!(matches!(look(&settings).await, Err(LayoutError::Marked { .. })), "another copy");
                end_work(&settings).unwrap();
                assert!(matches!(look(&settings).await, Err(LayoutError::Control(_))), "a label need not be UTF-8");
                fs::remove_file(dir.join(BACKUP_LABEL)).unwrap();
            }
        }
        // An older version wrote the first line only.
        fs::write(settings.state_dir.join("unfinished"), "clone").unwrap();
        assert!(matches!(look(&settings).await, Err(LayoutError::Marked { .. })));
        fs::remove_file(dir.join("global/pg_control")).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade);
    }

    #[test]
    fn only_places_that_were_vacant_are_noted() {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path());
        let [absent, vacant, full] = ["absent", "vacant", "full"].map(|name| root.path().join(name));
        fs::create_dir(&vacant).unwrap();
        fs::create_dir_all(full.join("PG_15_1")).unwrap();
        fs::create_dir(&settings.data_dir).unwrap();
        let mark = begin_work(&settings, Work::Clone).unwrap();
        let mark = emptied(&settings, mark, vec![absent.clone(), vacant.clone(), full]).unwrap();
        assert_eq!(mark.spaces, [absent.clone(), vacant.clone()]);
        // What the copy left there is still known to the next attempt.
        fs::create_dir_all(vacant.join("PG_15_1")).unwrap();
        let again = begin_work(&settings, Work::Clone).unwrap();
        assert_eq!(again.spaces, [absent.clone(), vacant.clone()]);
        fs::write(settings.data_dir.join("x"), "").unwrap();
        assert!(matches!(emptied(&settings, again, Vec::new()), Err(LayoutError::NotEmptied(_))));
    }

    #[tokio::test]
    async fn other_versions_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path());
        fs::create_dir(&settings.data_dir).unwrap();
        for version in ["12\n", "19\n", "9.6\n", ""] {
            fs::write(settings.data_dir.join("PG_VERSION"), version).unwrap();
            assert!(matches!(look(&settings).await, Err(LayoutError::Version { .. })), "{version:?}");
        }
    }

    #[tokio::test]
    async fn missing_programs_name_bin_dir() {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings { bin_dir: root.path().join("nowhere"), ..settings(root.path()) };
        fs::create_dir(&settings.data_dir).unwrap();
        fs::write(settings.data_dir.join("PG_VERSION"), "15\n").unwrap();
        let error = look(&settings).await.unwrap_err().to_string();
        assert!(error.contains("nowhere/pg_controldata") && error.contains("postgresql.bin_dir"), "{error}");
    }
}
