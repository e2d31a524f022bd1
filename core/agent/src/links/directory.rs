//! Whether the data directory is still the one this node last took for its own.
//!
//! A directory that other hands have put in its place (a restored backup, a copied disk) forgets what it acknowledged (SAFETY §4.8).
//! Its control file is another file then: PostgreSQL and its tools rewrite it in place, and whoever puts a directory in the place of
//! another makes a new one. Not seen: a whole disk that goes back in time together with the state directory.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tanist_postgres::{control, files};

/// In the state directory: the identity of the known directory.
const FILE: &str = "data-directory";

/// The identities, known and seen.
#[derive(Debug)]
pub struct DirectoryLink {
    data_dir: PathBuf,
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<String>,
    seen: Option<String>,
}

impl DirectoryLink {
    /// Reads what is known. A node that knows nothing takes what it finds first for its own.
    pub fn open(state_dir: &Path, data_dir: &Path) -> io::Result<Self> {
        let file = state_dir.join(FILE);
        let known = match fs::read_to_string(&file) {
            // What a crash of an older version has cut off says nothing.
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let link = Self { data_dir: data_dir.to_owned(), file, state: Mutex::new(State { known, seen: None }) };
        link.look();
        if link.state().known.is_none() {
            link.adopt()?;
        }
        Ok(link)
    }

    /// Looks which directory is there. Waits for the disk.
    pub fn look(&self) {
        let seen = identity(&self.data_dir);
        self.state().seen = seen;
    }

    /// Another directory is there than the known one.
    pub fn is_replaced(&self) -> bool {
        let state = self.state();
        matches!((&state.known, &state.seen), (Some(known), Some(seen)) if known != seen)
    }

    /// A number for the directory that was seen last: another one for another directory. Zero: none was seen.
    pub fn number(&self) -> u64 {
        self.state().seen.as_deref().map_or(0, number)
    }

    /// Takes the directory that is there for known, if it is still the one with this number. Waits for the disk.
    pub fn adopt_seen(&self, seen: u64) -> io::Result<()> {
        match identity(&self.data_dir) {
            Some(present) if number(&present) == seen => self.take(present),
            present => {
                self.state().seen = present;
                Ok(())
            }
        }
    }

    /// Takes the directory that is there for known. Waits for the disk.
    pub fn adopt(&self) -> io::Result<()> {
        identity(&self.data_dir).map_or(Ok(()), |present| self.take(present))
    }

    fn take(&self, present: String) -> io::Result<()> {
        files::write(&self.file, present.as_bytes(), 0o644)?;
        let mut state = self.state();
        (state.known, state.seen) = (Some(present.clone()), Some(present));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(identity: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

fn identity(data_dir: &Path) -> Option<String> {
    fs::metadata(data_dir.join("global/pg_control")).ok().map(|found| control::identity(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &Path, text: &str) {
        fs::create_dir_all(root.join("data/global")).unwrap();
        fs::write(root.join("data/global/pg_control"), text).unwrap();
    }

    #[test]
    fn another_control_file_is_another_directory() {
        let root = tempfile::tempdir().unwrap();
        let open = || DirectoryLink::open(root.path(), &root.path().join("data")).unwrap();
        assert!(!open().is_replaced(), "nothing is there");
        place(root.path(), "one");
        assert!(!open().is_replaced(), "the first is taken for known");
        place(root.path(), "two");
        assert!(!open().is_replaced(), "rewritten in place");
        fs::rename(root.path().join("data"), root.path().join("away")).unwrap();
        let link = open();
        assert!(!link.is_replaced(), "none is none");
        place(root.path(), "two");
        link.look();
        assert!(link.is_replaced() && open().is_replaced(), "also after a restart");
        let decided = link.number();
        fs::rename(root.path().join("data"), root.path().join("second")).unwrap();
        place(root.path(), "three");
        link.adopt_seen(decided).unwrap();
        assert!(link.is_replaced() && link.number() != decided, "that was decided for another one");
        link.adopt_seen(link.number()).unwrap();
        assert!(!link.is_replaced() && !open().is_replaced());
    }

    #[test]
    fn what_is_cut_off_is_not_known_and_nothing_is_cut_off() {
        let root = tempfile::tempdir().unwrap();
        place(root.path(), "one");
        let open = || DirectoryLink::open(root.path(), &root.path().join("data")).unwrap();
        fs::write(root.path().join(FILE), "").unwrap();
        let link = open();
        assert!(!link.is_replaced(), "an empty file is none");
        // Whoever reads meanwhile, or has the file open, sees the old content whole.
        let mut before = fs::File::open(root.path().join(FILE)).unwrap();
        let old = fs::read_to_string(root.path().join(FILE)).unwrap();
        fs::rename(root.path().join("data"), root.path().join("away")).unwrap();
        place(root.path(), "two");
        link.adopt().unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut before, &mut text).unwrap();
        assert!(!old.is_empty() && text == old && fs::read_to_string(root.path().join(FILE)).unwrap() != old);
        let left = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = left.collect();
        left.sort();
        assert_eq!(left, ["away", "data", FILE], "and nothing beside it");
    }
}
