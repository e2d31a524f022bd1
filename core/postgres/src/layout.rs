//! A data directory without a server: nothing, a half-made copy, or a cluster. Reads only, except for the mark of unfinished work.
//!
//! Whether a server runs is not asked here: the guard knows.

use crate::{ControlData, ControlError, Settings, files};
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
    /// pg_rewind ended well and has changed nothing.
    #[error("pg_rewind has not rewound anything")]
    NotRewound,
    /// The control file cannot be read.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Looks at the data directory.
pub async fn inspect(settings: &Settings, limit: Duration) -> Result<OnDisk, LayoutError> {
    let dir = &settings.data_dir;
    let read = |path: &Path| {
        let path = path.to_owned();
        move |error| LayoutError::Read { path, error }
    };
    // The mark counts even where the directory is empty: nothing else says whether what appears in it next is complete.
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(read(dir)(error)),
    };
    if empty {
        return Ok(OnDisk::NoData);
    }
    let mut rewound = false;
    for mark in marks(settings) {
        match fs::read(&mark) {
            Ok(what) if what == REWOUND => rewound = true,
            Ok(_) => return Ok(OnDisk::HalfMade),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(read(&mark)(error)),
        }
    }
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
    let method = backup_method(dir).map_err(|error| LayoutError::Read { path: dir.join(BACKUP_LABEL), error })?;
    if rewound && method.as_deref() != Some("pg_rewind") {
        // A server took the label, and ended before it was consistent.
        return Ok(OnDisk::HalfMade);
    }
    let copied = method.as_deref() == Some("streamed");
    Ok(OnDisk::Cluster { control: ControlData::read(settings, limit).await?, major, copied, rewound })
}

/// Where a base backup says where it begins; the server that starts it renames it away.
const BACKUP_LABEL: &str = "backup_label";

/// The content of the marks when a rewind is complete, until the server has been consistent once.
const REWOUND: &[u8] = b"rewound";

/// How the directory came to be, while no server has started it: `streamed` is a base backup. Up to version 14 a primary in exclusive
/// backup mode has such a file, too, of another method.
fn backup_method(dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(dir.join(BACKUP_LABEL)) {
        Ok(label) => {
            Ok(label.lines().find_map(|line| line.strip_prefix("BACKUP METHOD:")).map(|method| method.trim().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Marks the data directory as unfinished, durably. To be called before initdb, pg_basebackup or pg_rewind begins.
///
/// The mark is in the state directory and, where its parent can be written, beside the data directory: a lost state directory does
/// not make a torn copy look whole.
pub fn begin_work(settings: &Settings, what: &str) -> Result<(), LayoutError> {
    mark(settings, what.as_bytes())
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
    mark(settings, REWOUND)
}

/// The server is consistent: what a rewind left marked is an ordinary directory from now on.
pub fn settle(settings: &Settings) -> Result<(), LayoutError> {
    let rewound = marks(settings).iter().any(|mark| fs::read(mark).is_ok_and(|what| what == REWOUND));
    if rewound { end_work(settings) } else { Ok(()) }
}

fn mark(settings: &Settings, what: &[u8]) -> Result<(), LayoutError> {
    let [own, beside] = marks(settings);
    files::write(&own, what, 0o600).map_err(|error| LayoutError::Read { path: own, error })?;
    match files::write(&beside, what, 0o600) {
        Err(error) if !is_closed(&error) => Err(LayoutError::Read { path: beside, error }),
        _ => Ok(()),
    }
}

/// Takes the marks away. To be called after the program ended well; makes its result durable first.
pub fn end_work(settings: &Settings) -> Result<(), LayoutError> {
    let dir = &settings.data_dir;
    // initdb and pg_basebackup fsync their files themselves; the directory's own entry is ours to make durable.
    files::sync_parent(&dir.join("PG_VERSION"))
        .and_then(|()| files::sync_parent(dir))
        .map_err(|error| LayoutError::Read { path: dir.clone(), error })?;
    for mark in marks(settings) {
        let gone = files::remove(&mark).and_then(|()| files::sync_parent(&mark));
        match gone {
            Err(error) if !is_closed(&error) => return Err(LayoutError::Read { path: mark, error }),
            _ => {}
        }
    }
    Ok(())
}

/// The parent of the data directory belongs to somebody else (a mount point below `/`).
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn marks(settings: &Settings) -> [PathBuf; 2] {
    let mut beside = settings.data_dir.as_os_str().to_owned();
    beside.push(".tanist-unfinished");
    [settings.state_dir.join("unfinished"), beside.into()]
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

        begin_work(&settings, "clone").unwrap();
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
        begin_work(&settings, "rewind").unwrap();
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
        begin_work(&settings, "clone").unwrap();
        settle(&settings).unwrap();
        assert_eq!(look(&settings).await.unwrap(), OnDisk::HalfMade, "only a rewind is settled");
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
