//! The five things a durable value needs of a file system, so that a test can take the power away between any two of them.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

/// A file system, as far as durable values use it. Every method blocks.
pub(crate) trait Disk: Send + Sync {
    /// The beginning of a file, at most `most` bytes.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;
    /// Makes or replaces a file; its content is on the disk afterwards, its name perhaps not.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name in the same directory, at once for every process, and on the disk perhaps later.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The names in a directory are on the disk afterwards.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// The file system of this machine.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

/// Makes a directory whose name survives a power cut. Its parents are the installation's.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    path.parent().map_or(Ok(()), |parent| RealDisk.sync_directory(parent))
}
