//! A disk whose power is cut after any number of steps, and everything that may be found on it afterwards.
//!
//! The model keeps what the running system sees apart from what is on the platter. Data of a file reaches the platter at the latest
//! with its fsync, names of a directory at the latest with the fsync of the directory, in their order; before that, any part may have.

use super::Disk;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

type Names = BTreeMap<PathBuf, usize>;

#[derive(Clone, Debug, Default)]
struct State {
    /// What every file holds, as the system sees it.
    seen: Vec<Vec<u8>>,
    /// What is certainly on the platter of it.
    synced: Vec<Option<Vec<u8>>>,
    names: Names,
    /// The states of the directory since its last fsync, that one first: any of them may be on the platter.
    unsynced_names: Vec<Names>,
    steps: usize,
    cut_at: Option<usize>,
}

/// The disk.
#[derive(Clone, Debug)]
pub(crate) struct PowerCut(Arc<Mutex<State>>);

impl PowerCut {
    /// An empty disk.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { unsynced_names: vec![Names::new()], ..State::default() })))
    }

    /// The power goes away instead of the `step`th step from now on.
    pub(crate) fn cut_at(&self, step: usize) {
        let mut state = self.0.lock().unwrap();
        state.steps = 0;
        state.cut_at = Some(step);
    }

    /// Whether it is gone.
    pub(crate) fn is_cut(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.cut_at.is_some_and(|cut| state.steps > cut)
    }

    /// Every disk that may be found when the power is back.
    pub(crate) fn found(&self) -> Vec<Self> {
        let state = self.0.lock().unwrap();
        let mut found = Vec::new();
        for names in &state.unsynced_names {
            for torn in [Torn::Nothing, Torn::Half, Torn::Zeros, Torn::Everything] {
                found.push(state.after(names, torn));
            }
        }
        found
    }

    /// What is found after `kill -9` alone: the system has seen it all.
    pub(crate) fn survived(&self) -> Self {
        let mut state = self.0.lock().unwrap().clone();
        state.cut_at = None;
        Self(Arc::new(Mutex::new(state)))
    }

    fn step(&self, act: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.steps += 1;
        match state.cut_at {
            Some(cut) if state.steps > cut => Err(io::Error::other("no power")),
            _ => act(&mut state),
        }
    }
}

/// How much of data without fsync is on the platter.
#[derive(Clone, Copy)]
enum Torn {
    Nothing,
    Half,
    /// The length was, the data was not.
    Zeros,
    Everything,
}

impl State {
    fn after(&self, names: &Names, torn: Torn) -> PowerCut {
        let content = |file: &usize| match (&self.synced[*file], torn) {
            (Some(synced), _) => synced.clone(),
            (None, Torn::Nothing) => Vec::new(),
            (None, Torn::Half) => self.seen[*file][..self.seen[*file].len() / 2].to_vec(),
            (None, Torn::Zeros) => vec![0; self.seen[*file].len()],
            (None, Torn::Everything) => self.seen[*file].clone(),
        };
        let mut after = Self::default();
        for (name, file) in names {
            after.names.insert(name.clone(), after.seen.len());
            after.seen.push(content(file));
            after.synced.push(Some(content(file)));
        }
        after.unsynced_names = vec![after.names.clone()];
        PowerCut(Arc::new(Mutex::new(after)))
    }
}

impl Disk for PowerCut {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.seen[file].iter().copied().take(usize::try_from(most).unwrap()).collect())
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.0.lock().unwrap().seen.len();
        self.step(|state| {
            state.seen.push(Vec::new());
            state.synced.push(None);
            state.names.insert(path.to_owned(), file);
            state.unsynced_names.push(state.names.clone());
            Ok(())
        })?;
        for upto in [bytes.len() / 3, bytes.len()] {
            self.step(|state| {
                state.seen[file] = bytes[..upto].to_vec();
                Ok(())
            })?;
        }
        self.step(|state| {
            state.synced[file] = Some(state.seen[file].clone());
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|state| {
            let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), file);
            state.unsynced_names.push(state.names.clone());
            Ok(())
        })
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        self.step(|state| {
            state.unsynced_names = vec![state.names.clone()];
            Ok(())
        })
    }
}
