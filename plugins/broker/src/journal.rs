//! One file per plugin: the last acknowledged state and the events that must be called for yet.
//!
//! Rewritten as a whole (temporary file, fsync, rename, fsync of the directory) before the first call of an event, so a crash at
//! any point leaves the old content or the new one. The first line carries a checksum of the rest; a file that does not match is
//! kept aside under another name and reported, and the plugin starts from the present face of the cluster.

use crate::protocol::{Action, Event, PluginId, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Largest journal that is read: five events of the size of a frame.
const MAX_JOURNAL: u64 = 8 << 20;

const MAGIC: &str = "tanist-journal 1 ";

/// What a journal keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The last event that needs no further call.
    pub acknowledged: Option<Acknowledged>,
    /// Events that must be called for yet, in order.
    pub pending: Vec<Event>,
}

/// An event that needs no further call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Which callback.
    pub action: Action,
    /// The role it told.
    pub role: Role,
    /// Its epoch.
    pub epoch: u64,
    /// Its sequence number.
    pub sequence: u64,
}

impl Record {
    /// The highest sequence number it knows.
    pub fn sequence(&self) -> u64 {
        let acknowledged = self.acknowledged.map(|event| event.sequence);
        self.pending.iter().map(|event| event.sequence).chain(acknowledged).max().unwrap_or(0)
    }
}

/// Where one plugin's journal lives.
#[derive(Clone, Debug)]
pub struct Journal {
    directory: PathBuf,
    file: PathBuf,
}

/// Why a journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Not what was written; kept aside.
    #[error("{} is damaged ({what}); kept as {}", path.display(), aside.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In which way.
        what: String,
        /// Where it is now.
        aside: PathBuf,
    },
}

impl Journal {
    /// The journal of a plugin in a directory that exists.
    pub fn new(directory: &Path, plugin: &PluginId) -> Self {
        Self { directory: directory.to_owned(), file: directory.join(format!("{plugin}.journal")) }
    }

    /// What was last written; nothing if nothing ever was. After an error, too, the journal can be written.
    pub fn load(&self) -> Result<Record, JournalError> {
        let bytes = match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            opened => {
                let mut bytes = Vec::new();
                let read = opened.and_then(|file| file.take(MAX_JOURNAL + 1).read_to_end(&mut bytes));
                read.map_err(|error| io_error(&self.file, error))?;
                bytes
            }
        };
        parse(&bytes).map_err(|what| self.set_aside(what))
    }

    /// Replaces what was written. Blocks on the disk.
    pub fn write(&self, record: &Record) -> Result<(), JournalError> {
        let temporary = self.temporary();
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(&render(record)?)?;
            file.sync_all()
        };
        write().map_err(|error| io_error(&temporary, error))?;
        fs::rename(&temporary, &self.file).map_err(|error| io_error(&self.file, error))?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(|error| io_error(&self.directory, error))
    }

    fn temporary(&self) -> PathBuf {
        self.file.with_extension("journal.new")
    }

    fn set_aside(&self, what: String) -> JournalError {
        let aside = self.file.with_extension("journal.damaged");
        match fs::rename(&self.file, &aside) {
            Ok(()) => JournalError::Damaged { path: self.file.clone(), what, aside },
            Err(error) => io_error(&self.file, error),
        }
    }
}

fn io_error(path: &Path, error: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), error }
}

fn checksum(body: &[u8]) -> String {
    crate::protocol::Digest(Sha256::digest(body).into()).to_string()
}

fn render(record: &Record) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(record)?;
    let mut bytes = format!("{MAGIC}{}\n", checksum(&body)).into_bytes();
    bytes.extend(body);
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Record, String> {
    if bytes.len() as u64 > MAX_JOURNAL {
        return Err("too long".to_owned());
    }
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or("first line")?;
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or("first line")?;
    let (sum, body) = (&rest[..end], &rest[end + 1..]);
    if sum != checksum(body).as_bytes() {
        return Err("checksum".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
