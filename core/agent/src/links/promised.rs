//! This node's promise: the highest epoch, on disk, and whether this agent has cut its standby off for it.
//!
//! The file outlives agent, guard and machine; what an earlier agent had cut off is not believed after it (SAFETY §4.2).

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tanist_engine::{Epoch, Promised, Upstream};

/// In the state directory.
const FILE: &str = "fence.json";

/// Why a promise cannot be read, made or kept.
#[derive(Debug, thiserror::Error)]
pub enum PromiseError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is damaged. Nobody can say what was promised.
    #[error(
        "{}: {error}; it holds the highest epoch this node has promised: write that of `tanist list` into it, as {{\"epoch\":N}}",
        path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
    /// The upstream belongs to an epoch below the promised one.
    #[error("{name} leads with epoch {epoch}, and epoch {promised} was promised: not followed")]
    Older {
        /// Whom it was asked to follow.
        name: String,
        /// The epoch of that leader.
        epoch: Epoch,
        /// What was promised.
        promised: Epoch,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    epoch: u64,
}

/// The promise of this node. One per agent.
#[derive(Debug)]
pub struct PromiseLink {
    path: PathBuf,
    state: Mutex<Promised>,
    /// One writer of the file at a time.
    writing: Mutex<()>,
}

impl PromiseLink {
    /// Reads what was promised before.
    pub fn open(state_dir: &Path) -> Result<Self, PromiseError> {
        let path = state_dir.join(FILE);
        let epoch = read(&path)?;
        Ok(Self { path, state: Mutex::new(Promised { epoch, cut: false }), writing: Mutex::new(()) })
    }

    /// What is promised.
    pub fn now(&self) -> Promised {
        *self.state()
    }

    /// Promises an epoch, durably, before anything is done for it. A lower one than before changes nothing. Waits for the disk.
    ///
    /// Whoever follows a leader, or leads, has promised its epoch: a store that is restored from a backup and counts from low again
    /// finds nobody who would lead or follow below it.
    pub fn raise(&self, epoch: Epoch) -> Result<(), PromiseError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch <= read(&self.path)? {
            return Ok(());
        }
        write(&self.path, epoch).map_err(|error| PromiseError::File { path: self.path.clone(), error })?;
        *self.state() = Promised { epoch, cut: false };
        Ok(())
    }

    /// Nothing is received for a leader below this epoch any more.
    pub fn is_cut(&self, epoch: Epoch) {
        let mut state = self.state();
        state.cut |= state.epoch == epoch;
    }

    /// Whether this leader may be followed, by what is on the disk now. Asked before `primary_conninfo` is written.
    pub fn permits(&self, upstream: &Upstream) -> Result<(), PromiseError> {
        let promised = read(&self.path)?;
        if upstream.epoch >= promised {
            return Ok(());
        }
        Err(PromiseError::Older { name: upstream.name.to_string(), epoch: upstream.epoch, promised })
    }

    fn state(&self) -> MutexGuard<'_, Promised> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Epoch, PromiseError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice::<Json>(&text)
            .map(|json| Epoch(json.epoch))
            .map_err(|error| PromiseError::Damaged { path: path.to_owned(), error }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Epoch::NONE),
        Err(error) => Err(PromiseError::File { path: path.to_owned(), error }),
    }
}

/// The old content or the new one, also after a crash; and the new one once this returns.
fn write(path: &Path, epoch: Epoch) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(serde_json::to_string(&Json { epoch: epoch.0 })?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::Endpoint;

    fn upstream(epoch: u64) -> Upstream {
        Upstream { name: "a".into(), endpoint: Endpoint { host: "h".into(), port: 1 }, epoch: Epoch(epoch) }
    }

    #[test]
    fn a_promise_outlives_the_agent_and_the_cut_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let link = PromiseLink::open(dir.path()).unwrap();
        assert_eq!(link.now(), Promised::default());
        link.permits(&upstream(1)).unwrap();
        link.raise(Epoch(9)).unwrap();
        link.is_cut(Epoch(7));
        assert_eq!(link.now(), Promised { epoch: Epoch(9), cut: false });
        link.is_cut(Epoch(9));
        link.raise(Epoch(8)).unwrap();
        assert_eq!(link.now(), Promised { epoch: Epoch(9), cut: true });
        let next = PromiseLink::open(dir.path()).unwrap();
        assert_eq!(next.now(), Promised { epoch: Epoch(9), cut: false });
        next.permits(&upstream(9)).unwrap();
        assert!(matches!(next.permits(&upstream(8)), Err(PromiseError::Older { .. })));
    }

    #[test]
    fn the_file_counts_not_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let link = PromiseLink::open(dir.path()).unwrap();
        PromiseLink::open(dir.path()).unwrap().raise(Epoch(9)).unwrap();
        assert!(link.permits(&upstream(8)).is_err());
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(link.permits(&upstream(99)).is_err() && link.raise(Epoch(99)).is_err() && PromiseLink::open(dir.path()).is_err());
    }
}
