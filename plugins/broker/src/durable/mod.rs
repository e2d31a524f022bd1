//! One value in one file that survives `kill -9` and a power cut at any instant.
//!
//! It is rewritten as a whole: temporary file, fsync, rename, fsync of the directory. So a crash at any point leaves the old value or
//! the new one, and once [`Durable::write`] has returned, the new one. The first line carries a checksum of the rest; a file that does
//! not match is kept aside under another name and reported.

mod disk;
#[cfg(test)]
pub(crate) mod power_cut;

pub(crate) use disk::{Disk, RealDisk, make_directory};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::{
    fmt, io,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest file that is read, and so that is written: five events of the size of a frame.
const MAX_FILE: u64 = 8 << 20;

/// Where a value of type `T` is kept.
pub(crate) struct Durable<T> {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    file: PathBuf,
    /// How the first line begins: the kind of the file and its format.
    magic: &'static str,
    value: PhantomData<fn(T) -> T>,
}

/// Why a value could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DurableError {
    /// The file system.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// More than is ever read; what was there before still is.
    #[error("{}: not written, because its {length} bytes are longer than the {MAX_FILE} that are read again", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// What it would have been.
        length: usize,
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

impl<T: Serialize + DeserializeOwned + Default> Durable<T> {
    /// The value in `directory`, which exists, under `name`. `magic` ends with a space.
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: &Path, name: &str, magic: &'static str) -> Self {
        Self { disk, directory: directory.to_owned(), file: directory.join(name), magic, value: PhantomData }
    }

    /// What was last written; the default if nothing ever was. After an error, too, the value can be written.
    pub(crate) fn load(&self) -> Result<T, DurableError> {
        match self.disk.read(&self.file, MAX_FILE + 1) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(io_error(&self.file, error)),
            Ok(bytes) => self.parse(&bytes).map_err(|what| self.set_aside(what)),
        }
    }

    /// Replaces what was written. Blocks on the disk.
    pub(crate) fn write(&self, value: &T) -> Result<(), DurableError> {
        let temporary = self.beside("new");
        let bytes = self.render(value).map_err(|error| io_error(&temporary, error))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(DurableError::TooLong { path: self.file.clone(), length: bytes.len() });
        }
        self.disk.write_synced(&temporary, &bytes).map_err(|error| io_error(&temporary, error))?;
        self.disk.rename(&temporary, &self.file).map_err(|error| io_error(&self.file, error))?;
        self.disk.sync_directory(&self.directory).map_err(|error| io_error(&self.directory, error))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(".");
        path.push(ending);
        path.into()
    }

    fn set_aside(&self, what: String) -> DurableError {
        let aside = self.beside("damaged");
        match self.disk.rename(&self.file, &aside) {
            Ok(()) => DurableError::Damaged { path: self.file.clone(), what, aside },
            Err(error) => io_error(&self.file, error),
        }
    }

    fn render(&self, value: &T) -> io::Result<Vec<u8>> {
        let body = serde_json::to_vec(value)?;
        let mut bytes = format!("{}{}\n", self.magic, checksum(&body)).into_bytes();
        bytes.extend(body);
        Ok(bytes)
    }

    fn parse(&self, bytes: &[u8]) -> Result<T, String> {
        if bytes.len() as u64 > MAX_FILE {
            return Err("too long".to_owned());
        }
        let rest = bytes.strip_prefix(self.magic.as_bytes()).ok_or("first line")?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("first line")?;
        let (sum, body) = (&rest[..end], &rest[end + 1..]);
        if sum != checksum(body).as_bytes() {
            return Err("checksum".to_owned());
        }
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}

impl<T> Clone for Durable<T> {
    fn clone(&self) -> Self {
        let Self { disk, directory, file, magic, value } = self;
        Self { disk: Arc::clone(disk), directory: directory.clone(), file: file.clone(), magic, value: *value }
    }
}

impl<T> fmt::Debug for Durable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Durable").field(&self.file).finish()
    }
}

fn io_error(path: &Path, error: io::Error) -> DurableError {
    DurableError::Io { path: path.to_owned(), error }
}

fn checksum(body: &[u8]) -> String {
    crate::protocol::Digest(Sha256::digest(body).into()).to_string()
}

#[cfg(test)]
mod tests;
