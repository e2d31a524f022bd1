//! The ledger as the broker and the claims under way share it, kept on the disk.
//!
//! A claim is on the disk as *unknown* before it is sent, so that it is read back before the next one also when the agent dies before
//! the answer. A ledger that could not be read counts as "everything unknown"; one that cannot be written holds no claim up, and shows.

use crate::{
    Certainty, Ledger, LedgerEntry,
    durable::{Disk, Durable},
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

const MAGIC: &str = "tanist-ledger 1 ";
/// No plugin's journal has this name.
const FILE: &str = "effects.ledger";

/// The ledger; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct SharedLedger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    file: Durable<Vec<LedgerEntry>>,
    /// Held while the file is written, also beyond the patience of whoever asked for it.
    writing: Arc<tokio::sync::Mutex<()>>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    problem: Option<String>,
    /// The file could not be read: of keys that are not here, nothing is known.
    known: Option<BTreeSet<(String, String)>>,
}

impl SharedLedger {
    /// Reads the file. `patience`: how long a claim waits for the disk.
    pub(crate) fn open(disk: Arc<dyn Disk>, directory: &Path, patience: Duration) -> Self {
        let file = Durable::new(disk, directory, FILE, MAGIC);
        let state = match file.load() {
            Ok(entries) => State { ledger: Ledger::of(entries), ..State::default() },
            Err(error) => {
                tracing::warn!("ledger: {error}; every effect is read back before the next claim");
                State { ledger: Ledger::default(), problem: Some(error.to_string()), known: Some(BTreeSet::new()) }
            }
        };
        Self(Arc::new(Shared { state: Mutex::new(state), file, writing: Arc::default(), patience }))
    }

    /// What is known of a key, and whether it has to be read back before it is claimed.
    pub(crate) fn look(&self, capability: &str, key: &str) -> (Option<LedgerEntry>, bool) {
        let state = self.lock();
        let entry = state.ledger.get(capability, key).cloned();
        let unknown = entry.as_ref().is_some_and(|entry| entry.certainty == Certainty::Unknown);
        let forgotten = state.known.as_ref().is_some_and(|known| !known.contains(&(capability.to_owned(), key.to_owned())));
        (entry, unknown || forgotten)
    }

    /// Writes down an effect, and waits until that is on the disk, or takes too long. Returns whether there was room for it.
    pub(crate) async fn record(&self, entry: LedgerEntry) -> bool {
        let (room, changed) = {
            let mut state = self.lock();
            let key = (entry.capability.clone(), entry.key.clone());
            let before = state.ledger.get(&key.0, &key.1).cloned();
            let room = state.ledger.record(entry);
            let changed = state.ledger.get(&key.0, &key.1) != before.as_ref();
            if room {
                state.known.as_mut().map(|known| known.insert(key));
            }
            (room, changed)
        };
        if changed {
            self.persist().await;
        }
        room
    }

    /// The newest effect on a key turned out not to be there.
    pub(crate) async fn restore(&self, capability: &str, key: &str, before: Option<LedgerEntry>) {
        {
            let mut state = self.lock();
            state.ledger.restore(capability, key, before);
            state.known.as_mut().map(|known| known.insert((capability.to_owned(), key.to_owned())));
        }
        self.persist().await;
    }

    /// All of it.
    pub(crate) fn entries(&self) -> Vec<LedgerEntry> {
        self.lock().ledger.entries()
    }

    /// Why the file could not be read or written, if it could not.
    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    async fn persist(&self) {
        let (this, patience) = (self.clone(), self.0.patience);
        let writing = async move {
            let turn = Arc::clone(&this.0.writing).lock_owned().await;
            let write = move || {
                let _turn = turn;
                let written = this.0.file.write(&this.entries());
                this.lock().problem = written.err().map(|error| error.to_string());
            };
            spawn_blocking(write).await
        };
        if timeout(patience, writing).await.is_err() {
            self.lock().problem = Some("the disk takes too long".to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one insertion or removal, so a panic elsewhere leaves it whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{durable::power_cut::PowerCut, protocol::PluginId};

    fn entry(epoch: u64, certainty: Certainty) -> LedgerEntry {
        LedgerEntry {
            plugin: PluginId::from("dns-update"),
            capability: "dns".to_owned(),
            key: "db".to_owned(),
            value: "10.0.0.1".to_owned(),
            epoch,
            certainty,
        }
    }

    fn open(disk: &PowerCut) -> SharedLedger {
        SharedLedger::open(Arc::new(disk.clone()), Path::new("/state"), Duration::from_secs(5))
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// The power goes away at every step of "unknown, sent, applied"; what was sent must be read back, whatever is found.
    #[test]
    fn an_effect_that_was_sent_is_read_back_after_a_power_cut_at_any_step() {
        for step in 0.. {
            let disk = PowerCut::new();
            block_on(open(&disk).record(entry(7, Certainty::Applied)));
            disk.cut_at(step);
            let ledger = open(&disk);
            block_on(ledger.record(entry(8, Certainty::Unknown)));
            let sent = !disk.is_cut();
            block_on(ledger.record(entry(8, Certainty::Applied)));
            let confirmed = !disk.is_cut();
            for found in disk.found() {
                let (known, read_back) = open(&found).look("dns", "db");
                let known = known.map(|known| (known.epoch, known.certainty));
                match known {
                    Some((8, Certainty::Unknown)) => assert!(read_back),
                    Some((8, Certainty::Applied)) => assert!(sent, "cut at {step}"),
                    other => assert!(!sent && other == Some((7, Certainty::Applied)), "cut at {step}: {other:?}"),
                }
                assert!(!confirmed || known == Some((8, Certainty::Applied)));
            }
            if confirmed {
                return assert!(step >= 10, "only {step} steps");
            }
        }
    }

    #[test]
    fn a_damaged_ledger_knows_nothing_until_it_has_learned_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "nonsense").unwrap();
        let open = || SharedLedger::open(Arc::new(crate::durable::RealDisk), directory.path(), Duration::from_secs(5));
        let ledger = open();
        assert!(ledger.problem().is_some_and(|problem| problem.contains("damaged")));
        assert!(ledger.look("dns", "db").1, "nothing is known, so it is read back");
        block_on(ledger.record(entry(7, Certainty::Applied)));
        assert!(!ledger.look("dns", "db").1 && ledger.look("dns", "other").1);
        assert_eq!(open().look("dns", "db"), (Some(entry(7, Certainty::Applied)), false));
    }
}
