//! The mark of unfinished work on a data directory, and whether what is in the directory is that work.
//!
//! A mark outlives the directory that it was made for: people put another one in its place. So it says how its own work is known: a copy by
//! its number, which pg_basebackup writes into the first file that it makes; a new cluster by its birth, and by that no server has run in
//! it; a directory that was there before, to be thrown away or rewound, by the file of its `pg_control`.

use crate::{Settings, control, files};
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Where a base backup says where it begins; the server that starts it renames it away.
pub(crate) const BACKUP_LABEL: &str = "backup_label";
/// Before the number of the work, in the label of a copy that a node has made.
pub(crate) const OUR_LABEL: &str = "tanist ";
/// PostgreSQL's size of the file.
const CONTROL_SIZE: u64 = 8192;
/// A directory with one of these is no new cluster: a server has run in it, or it was a backup. `standby.signal` says nothing: a fence
/// leaves it.
const LIVED: [&str; 4] = ["postmaster.opts", "recovery.signal", BACKUP_LABEL, "backup_label.old"];

/// What is done to a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// initdb.
    Bootstrap,
    /// pg_basebackup.
    Clone,
    /// pg_rewind.
    Rewind,
    /// pg_rewind has ended well; no server has been consistent since.
    Rewound,
}

impl Work {
    /// As it stands in the mark.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Clone => "clone",
            Self::Rewind => "rewind",
            Self::Rewound => "rewound",
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        [Self::Bootstrap, Self::Clone, Self::Rewind, Self::Rewound].into_iter().find(|work| work.name().as_bytes() == name)
    }
}

/// A mark, as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// `None`: something that this version does not know.
    pub(crate) work: Option<Work>,
    /// Of this work and no other.
    id: String,
    /// When it began, seconds since 1970.
    since: u64,
    /// The identity of the `pg_control` that was there at the beginning.
    pub(crate) before: Option<String>,
    /// Locations of tablespaces that had nothing in them before this node began to copy.
    pub(crate) spaces: Vec<PathBuf>,
}

impl Mark {
    pub(crate) fn new(data_dir: &Path, work: Work, spaces: Vec<PathBuf>) -> io::Result<Self> {
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
        let before = Control::read(data_dir)?.map(|control| control.identity);
        Ok(Self { work: Some(work), id, since, before, spaces })
    }

    /// The marks that are there.
    pub(crate) fn all(settings: &Settings) -> Result<Vec<(PathBuf, Self)>, (PathBuf, io::Error)> {
        let mut found = Vec::new();
        for path in paths(settings) {
            match fs::read(&path) {
                Ok(text) => found.push((path, Self::parse(&text))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err((path, error)),
            }
        }
        Ok(found)
    }

    /// The label of the base backup that this work makes.
    pub(crate) fn label(&self) -> String {
        format!("{OUR_LABEL}{}", self.id)
    }

    /// The content of the directory is this work, or what it began with; or nothing that a server could be started from.
    pub(crate) fn fits(&self, data_dir: &Path) -> io::Result<bool> {
        let Some(control) = Control::read(data_dir)? else { return Ok(true) };
        if self.before.as_ref() == Some(&control.identity) {
            return Ok(true);
        }
        match self.work {
            Some(Work::Clone) => Ok(label_line(data_dir, "LABEL:")?.is_some_and(|label| label == self.label())),
            Some(Work::Bootstrap) => {
                let lived = LIVED.iter().any(|file| data_dir.join(file).exists());
                Ok(!lived && control.born >= self.since && self.since > 0)
            }
            Some(Work::Rewind | Work::Rewound) | None => Ok(false),
        }
    }

    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = format!("{}\nid {}\nsince {}\n", self.work.map_or("", Work::name), self.id, self.since).into_bytes();
        if let Some(before) = &self.before {
            text.extend(format!("before {before}\n").bytes());
        }
        for space in &self.spaces {
            text.extend(b"tablespace ");
            text.extend(space.as_os_str().as_bytes());
            text.push(b'\n');
        }
        text
    }

    /// A mark of an older version has its first line only, and fits no cluster.
    fn parse(text: &[u8]) -> Self {
        let mut lines = text.split(|byte| *byte == b'\n');
        let work = lines.next().and_then(Work::of);
        let mut mark = Self { work, id: String::new(), since: 0, before: None, spaces: Vec::new() };
        for line in lines {
            let Some(at) = line.iter().position(|byte| *byte == b' ') else { continue };
            let (key, value) = (&line[..at], &line[at + 1..]);
            let words = String::from_utf8_lossy(value).into_owned();
            match key {
                b"id" => mark.id = words,
                b"since" => mark.since = words.parse().unwrap_or(0),
                b"before" => mark.before = Some(words),
                b"tablespace" => mark.spaces.push(OsString::from_vec(value.to_vec()).into()),
                _ => {}
            }
        }
        mark
    }
}

/// What identifies a cluster's control file.
struct Control {
    /// See [`control::identity`].
    identity: String,
    /// The second in which the cluster was made, by its system identifier.
    born: u64,
}

impl Control {
    /// `None`: there is none that a server would start with.
    fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        let path = data_dir.join("global/pg_control");
        let (found, bytes) = match fs::metadata(&path).and_then(|found| Ok((found, fs::read(&path)?))) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(error),
        };
        let system_id = bytes.first_chunk().map_or(0, |first| u64::from_ne_bytes(*first));
        if system_id == 0 || found.len() != CONTROL_SIZE {
            return Ok(None);
        }
        Ok(Some(Self { identity: control::identity(&found), born: system_id >> 32 }))
    }
}

/// A line of the label of a base backup, by its beginning. The label's text is in the encoding of whoever made it.
pub(crate) fn label_line(data_dir: &Path, beginning: &str) -> io::Result<Option<String>> {
    match fs::read(data_dir.join(BACKUP_LABEL)) {
        Ok(label) => {
            let label = String::from_utf8_lossy(&label);
            Ok(label.lines().find_map(|line| line.strip_prefix(beginning)).map(|value| value.trim().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Nothing is there, or a directory without content.
pub(crate) fn is_vacant(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes the mark to both places, as far as they can be written.
pub(crate) fn write(settings: &Settings, mark: &Mark) -> Result<(), (PathBuf, io::Error)> {
    let [own, beside] = paths(settings);
    let text = mark.text();
    files::write(&own, &text, 0o600).map_err(|error| (own, error))?;
    match files::write(&beside, &text, 0o600) {
        Err(error) if !is_closed(&error) => Err((beside, error)),
        _ => Ok(()),
    }
}

/// Takes the marks away, durably.
pub(crate) fn remove(settings: &Settings) -> Result<(), (PathBuf, io::Error)> {
    for path in paths(settings) {
        match files::remove(&path).and_then(|()| files::sync_parent(&path)) {
            Err(error) if !is_closed(&error) => return Err((path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// The parent of the data directory belongs to somebody else (a mount point below `/`).
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn paths(settings: &Settings) -> [PathBuf; 2] {
    let mut beside = settings.data_dir.as_os_str().to_owned();
    beside.push(OsStr::new(".tanist-unfinished"));
    [settings.state_dir.join("unfinished"), beside.into()]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A control file as far as this module reads it.
    pub(crate) fn control(data_dir: &Path, born: u64) {
        let mut bytes = vec![0; 8192];
        bytes[..8].copy_from_slice(&((born << 32) | 77).to_ne_bytes());
        fs::create_dir_all(data_dir.join("global")).unwrap();
        fs::write(data_dir.join("global/pg_control"), bytes).unwrap();
    }

    #[test]
    fn text_and_back() {
        let spaces = vec![PathBuf::from("/a b"), OsString::from_vec(b"/\xff".to_vec()).into()];
        let mark = Mark { before: Some("12 34".into()), ..Mark::new(Path::new("/nowhere"), Work::Clone, spaces).unwrap() };
        assert_eq!(Mark::parse(&mark.text()), mark);
        assert!(mark.id.len() == 36 && mark.since > 0);
        let old = Mark::parse(b"rewind");
        assert!(old.work == Some(Work::Rewind) && old.before.is_none() && old.id.is_empty());
        assert_eq!(Mark::parse(b"").work, None);
    }

    #[test]
    fn a_new_cluster_is_ours_by_its_birth_and_until_it_has_lived() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        let mark = Mark::new(dir, Work::Bootstrap, Vec::new()).unwrap();
        assert!(mark.fits(dir).unwrap(), "nothing");
        control(dir, mark.since);
        assert!(mark.fits(dir).unwrap());
        fs::write(dir.join("standby.signal"), "").unwrap();
        assert!(mark.fits(dir).unwrap(), "a fence leaves that");
        for file in LIVED {
            fs::write(dir.join(file), "").unwrap();
            assert!(!mark.fits(dir).unwrap(), "{file}");
            fs::remove_file(dir.join(file)).unwrap();
        }
        control(dir, mark.since - 1);
        assert!(!mark.fits(dir).unwrap(), "older than the work");
        fs::write(dir.join("global/pg_control"), [1; 100]).unwrap();
        assert!(mark.fits(dir).unwrap(), "torn");
    }
}
