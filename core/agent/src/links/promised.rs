//! This node's promise: the highest epoch and whose it is, on disk, and whether this agent has cut its standby off for it.
//!
//! The file outlives agent, guard and machine; what an earlier agent had cut off is not believed after it (SAFETY §4.2).

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tanist_engine::{Epoch, MemberName, Promised, Upstream};
use tanist_postgres::files;

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
    /// The upstream belongs to an epoch below the promised one, or the same epoch was promised to another leader.
    #[error(
        "{name} leads with epoch {epoch}, and epoch {promised} was promised{}: not followed",
        to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default()
    )]
    Forbidden {
        /// Whom it was asked to follow.
        name: String,
        /// The epoch of that leader.
        epoch: Epoch,
        /// What was promised.
        promised: Epoch,
        /// To whom, where that is known.
        to: Option<MemberName>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    epoch: u64,
    /// Whose it is. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
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
        let promised = read(&path)?;
        Ok(Self { path, state: Mutex::new(promised), writing: Mutex::new(()) })
    }

    /// What is promised.
    pub fn now(&self) -> Promised {
        self.state().clone()
    }

    /// Promises an epoch, durably, before anything is done for it. A lower one than before changes nothing. Waits for the disk.
    ///
    /// Whoever follows a leader, or leads, has promised its epoch: a store that is restored from a backup and counts from low again
    /// finds nobody who would lead or follow below it. Whoever was promised an epoch first keeps it.
    pub fn raise(&self, epoch: Epoch, to: Option<&MemberName>) -> Result<(), PromiseError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read(&self.path)?;
        let named = epoch == before.epoch && before.to.is_none() && to.is_some();
        if epoch <= before.epoch && !named {
            return Ok(());
        }
        let promised = Promised { epoch, to: to.cloned(), cut: false };
        write(&self.path, &promised).map_err(|error| PromiseError::File { path: self.path.clone(), error })?;
        let mut state = self.state();
        let cut = state.cut && state.epoch == epoch;
        *state = Promised { cut, ..promised };
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
        if !promised.forbids(&upstream.name, upstream.epoch) {
            return Ok(());
        }
        let Promised { epoch: known, to, cut: _ } = promised;
        Err(PromiseError::Forbidden { name: upstream.name.to_string(), epoch: upstream.epoch, promised: known, to })
    }

    fn state(&self) -> MutexGuard<'_, Promised> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Promised, PromiseError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice::<Json>(&text)
            .map(|Json { epoch, to }| Promised {
                epoch: Epoch(epoch),
                to: to.map(|to| MemberName::from(to.as_str())),
                cut: false,
            })
            .map_err(|error| PromiseError::Damaged { path: path.to_owned(), error }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Promised::default()),
        Err(error) => Err(PromiseError::File { path: path.to_owned(), error }),
    }
}

fn write(path: &Path, promised: &Promised) -> io::Result<()> {
    let Promised { epoch, to, cut: _ } = promised;
    let json = Json { epoch: epoch.0, to: to.as_ref().map(ToString::to_string) };
    files::write(path, &serde_json::to_vec(&json)?, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::Endpoint;

    fn upstream(epoch: u64) -> Upstream {
        Upstream { name: "a".into(), endpoint: Endpoint { host: "h".into(), port: 1 }, epoch: Epoch(epoch) }
    }

    fn promised(epoch: u64, to: Option<&str>, cut: bool) -> Promised {
        Promised { epoch: Epoch(epoch), to: to.map(Into::into), cut }
    }

    #[test]
    fn a_promise_outlives_the_agent_and_the_cut_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let link = PromiseLink::open(dir.path()).unwrap();
        assert_eq!(link.now(), Promised::default());
        link.permits(&upstream(1)).unwrap();
        link.raise(Epoch(9), Some(&"a".into())).unwrap();
        link.is_cut(Epoch(7));
        assert_eq!(link.now(), promised(9, Some("a"), false));
        link.is_cut(Epoch(9));
        link.raise(Epoch(8), Some(&"a".into())).unwrap();
        assert_eq!(link.now(), promised(9, Some("a"), true));
        let next = PromiseLink::open(dir.path()).unwrap();
        assert_eq!(next.now(), promised(9, Some("a"), false));
        next.permits(&upstream(9)).unwrap();
        assert!(matches!(next.permits(&upstream(8)), Err(PromiseError::Forbidden { .. })));
    }

    #[test]
    fn one_epoch_is_promised_to_one_leader() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), r#"{"epoch":9}"#).unwrap();
        let link = PromiseLink::open(dir.path()).unwrap();
        assert_eq!(link.now(), promised(9, None, false), "the file of an older version");
        link.permits(&upstream(9)).unwrap();
        link.is_cut(Epoch(9));
        link.raise(Epoch(9), Some(&"b".into())).unwrap();
        assert_eq!(link.now(), promised(9, Some("b"), true));
        link.raise(Epoch(9), Some(&"a".into())).unwrap();
        assert_eq!(PromiseLink::open(dir.path()).unwrap().now(), promised(9, Some("b"), false));
        let said = link.permits(&upstream(9)).unwrap_err().to_string();
        assert_eq!(said, "a leads with epoch 9, and epoch 9 was promised to b: not followed");
        link.permits(&upstream(10)).unwrap();
    }

    #[test]
    fn the_file_counts_not_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let link = PromiseLink::open(dir.path()).unwrap();
        PromiseLink::open(dir.path()).unwrap().raise(Epoch(9), None).unwrap();
        assert!(link.permits(&upstream(8)).is_err());
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(
            link.permits(&upstream(99)).is_err()
                && link.raise(Epoch(99), None).is_err()
                && PromiseLink::open(dir.path()).is_err()
        );
    }
}
