//! The embedded store's file: a snapshot, then what changed, each entry with length and checksum; synced before any answer leaves.
//!
//! A torn last entry was never answered and is cut off. Anything else that does not read is damage, and the server does not start on it.
//! After a power cut the file may have its new length without the data: zeros behind the last entry belong to the torn end.

use super::state::{Entry, State};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Instant,
};

const MAGIC: &[u8; 8] = b"tanist\x00\x01";
/// Length and checksum.
const HEAD: usize = 8;
/// A log is rewritten when it has grown past this and past four times what the rewriting gives.
const REWRITE_AT: u64 = 4 << 20;

/// An open log. Holds a lock on the file's neighbour, so that no second server uses it.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    length: u64,
    /// Length right after the last rewriting.
    floor: u64,
    _lock: File,
}

impl Log {
    /// Opens or creates the log and reads the state.
    pub(super) fn open(path: &Path) -> io::Result<(Self, State)> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.with_added_extension("lock"))?;
        lock.try_lock().map_err(|error| io::Error::other(format!("{}: in use by another server ({error})", path.display())))?;
        let mut state = State::default();
        match File::open(path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                let whole = replay(&bytes, &mut state).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
                tracing::debug!(read = whole, torn = bytes.len() - whole, "state file read");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // A fresh file cuts off a torn end and is synced whole.
        let (file, length) = write_snapshot(path, &state)?;
        Ok((Self { path: path.to_owned(), file, length, floor: length, _lock: lock }, state))
    }

    /// Appends and syncs.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for entry in entries {
            encode(entry, &mut bytes)?;
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Rewrites the log when it has become long.
    pub(super) fn trim(&mut self, state: &State) -> io::Result<()> {
        if self.length > REWRITE_AT && self.length > 4 * self.floor {
            (self.file, self.length) = write_snapshot(&self.path, state)?;
            self.floor = self.length;
        }
        Ok(())
    }
}

fn write_snapshot(path: &Path, state: &State) -> io::Result<(File, u64)> {
    let mut bytes = MAGIC.to_vec();
    encode(&state.snapshot(), &mut bytes)?;
    let new = path.with_added_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    let length = file.seek(SeekFrom::End(0))?;
    Ok((file, length))
}

fn encode(entry: &Entry, bytes: &mut Vec<u8>) -> io::Result<()> {
    let body = postcard::to_stdvec(entry).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(())
}

/// Applies all whole entries and says how many bytes they took.
fn replay(bytes: &[u8], state: &mut State) -> Result<usize, String> {
    if !bytes.starts_with(MAGIC) {
        return Err("this is not a state file of tanist, or of another version".to_owned());
    }
    let now = Instant::now();
    let mut at = MAGIC.len();
    while let Some(head) = bytes.get(at..at + HEAD) {
        let word = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let end = at + HEAD + word(0) as usize;
        let Some(body) = bytes.get(at + HEAD..end) else { break };
        // Eight zeros would be an empty entry with the right checksum; no entry is empty.
        if body.is_empty() || checksum(body) != word(4) {
            if bytes[end..].iter().all(|byte| *byte == 0) {
                break;
            }
            return Err(format!("damaged at byte {at}"));
        }
        let entry = postcard::from_bytes(body).map_err(|error| format!("at byte {at}: {error}"))?;
        state.apply(entry, Some(now));
        at = end;
    }
    Ok(at)
}

/// CRC-32 (IEEE 802.3).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;
    use tanist_engine::Revision;

    fn commit(revision: u64) -> Entry {
        Entry::Commit { revision: Revision(revision), changes: vec![Change::Delete { key: format!("k{revision}") }] }
    }

    fn file(entries: u64) -> io::Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        for revision in 1..=entries {
            encode(&commit(revision), &mut bytes)?;
        }
        Ok(bytes)
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_torn_end_is_cut_off_at_every_byte() -> io::Result<()> {
        let (two, three) = (file(2)?, file(3)?);
        for length in two.len()..three.len() {
            let mut state = State::default();
            assert_eq!(replay(&three[..length], &mut state), Ok(two.len()));
            assert_eq!(state.revision(), Revision(2));
        }
        Ok(())
    }

    #[test]
    fn an_end_of_zeros_is_torn() -> io::Result<()> {
        let (two, three) = (file(2)?, file(3)?);
        // A power cut: the file has its new length, and not, or not yet all of, what was written there.
        for (written, zeros) in (two.len()..three.len()).flat_map(|written| (0..=3 * HEAD).map(move |zeros| (written, zeros))) {
            let mut bytes = three[..written].to_vec();
            bytes.resize(written + zeros, 0);
            let mut state = State::default();
            assert_eq!(replay(&bytes, &mut state), Ok(two.len()), "{written} bytes and {zeros} zeros");
            assert_eq!(state.revision(), Revision(2));
        }
        Ok(())
    }

    #[test]
    fn a_log_with_an_end_of_zeros_is_opened_and_goes_on() -> io::Result<()> {
        let here = tempfile::tempdir()?;
        let path = here.path().join("state");
        let mut bytes = file(2)?;
        bytes.resize(bytes.len() + 4096, 0);
        std::fs::write(&path, bytes)?;
        let (mut log, state) = Log::open(&path)?;
        assert_eq!(state.revision(), Revision(2));
        log.append(&[commit(3)])?;
        drop(log);
        assert_eq!(Log::open(&path)?.1.revision(), Revision(3));
        Ok(())
    }

    #[test]
    fn zeros_before_an_entry_are_damage() -> io::Result<()> {
        let mut bytes = file(2)?;
        bytes.resize(bytes.len() + HEAD, 0);
        encode(&commit(3), &mut bytes)?;
        assert!(replay(&bytes, &mut State::default()).is_err());
        Ok(())
    }

    #[test]
    fn damage_in_the_middle_is_not_taken_for_a_torn_end() -> io::Result<()> {
        let mut bytes = file(3)?;
        bytes[MAGIC.len() + HEAD + 1] ^= 1;
        assert!(replay(&bytes, &mut State::default()).is_err());
        assert!(replay(b"something else", &mut State::default()).is_err());
        Ok(())
    }
}
