//! A copy of the cluster's keys that follows the store: list, watch, list again after a loss.
//!
//! Every key carries the moment at which its revision was received here; the lease is timed from that. Deliberately absent: what
//! the values mean.

use crate::{Change, Clock, KeyValue, Store, StoreError, Trouble, WatchEvent};
use futures_util::StreamExt;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tanist_engine::{Reading, Revision};
use tokio::{sync::watch, task::AbortHandle};

/// Pause before the second try after a loss; doubles up to [`MAX_PAUSE`]. The first try is made at once.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// One key and when its present revision was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The key.
    pub kv: KeyValue,
    /// First receipt of this revision.
    pub received: Reading,
}

/// The cluster's keys at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The store's revision this copy stands at.
    pub revision: Revision,
    /// How often the store was found to have gone back (restored, replaced). Revisions compare only within one history.
    pub history: u64,
    /// The last sign of life of the store; `None`: never listed, the keys mean nothing.
    pub as_of: Option<Reading>,
    /// A watch stands; otherwise the copy may be behind.
    pub watching: bool,
    /// The keys.
    pub keys: BTreeMap<String, Arc<Mirrored>>,
    /// Why the last try failed, and since when none has worked, for people; empty once a watch stands.
    pub trouble: Option<Trouble>,
}

impl Snapshot {
    /// One key.
    pub fn get(&self, key: &str) -> Option<&Mirrored> {
        self.keys.get(key).map(Arc::as_ref)
    }

    fn relist(&mut self, revision: Revision, items: Vec<KeyValue>, now: Reading) {
        if revision < self.revision {
            self.history += 1;
            self.keys.clear();
        }
        let mut old = std::mem::take(&mut self.keys);
        for kv in items {
            let kept = old.remove(&kv.key).filter(|mirrored| mirrored.kv == kv);
            let mirrored = kept.unwrap_or_else(|| Arc::new(Mirrored { kv: kv.clone(), received: now }));
            self.keys.insert(kv.key, mirrored);
        }
        self.revision = revision;
        self.as_of = Some(now);
    }

    fn apply(&mut self, revision: Revision, changes: Vec<Change>, now: Reading) {
        for change in changes {
            match change {
                Change::Put(kv) => {
                    self.keys.insert(kv.key.clone(), Arc::new(Mirrored { kv, received: now }));
                }
                Change::Delete { key } => {
                    self.keys.remove(&key);
                }
            }
        }
        self.revision = self.revision.max(revision);
        self.as_of = Some(now);
    }
}

/// A running mirror. Ends when dropped.
#[derive(Debug)]
pub struct Mirror {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    task: AbortHandle,
}

impl Mirror {
    /// Begins to mirror the keys under `prefix`. Each list and each beginning of a watch may take `attempt`.
    pub fn spawn(store: Arc<dyn Store>, prefix: String, clock: Clock, attempt: Duration) -> Self {
        let (publish, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let task = tokio::spawn(follow(store, prefix, clock, attempt, publish)).abort_handle();
        Self { snapshots, task }
    }

    /// The newest copy.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Copies as they come, the newest only.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(store: Arc<dyn Store>, prefix: String, clock: Clock, attempt: Duration, publish: watch::Sender<Arc<Snapshot>>) {
    let mut snapshot = Snapshot::default();
    let mut pause = Duration::ZERO;
    loop {
        let trouble = match round(&*store, &prefix, &clock, attempt, &publish, &mut snapshot).await {
            Ok(reason) => {
                pause = Duration::ZERO;
                reason
            }
            Err(error) => error,
        };
        tracing::debug!(%prefix, %trouble, "the watch ended");
        snapshot.watching = false;
        snapshot.trouble = Some(Trouble::after(snapshot.trouble.as_ref(), trouble, clock.now()));
        publish.send_replace(Arc::new(snapshot.clone()));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
    }
}

/// Lists, then watches until the watch ends. `Err`: not even one message of the watch came.
async fn round(
    store: &dyn Store,
    prefix: &str,
    clock: &Clock,
    attempt: Duration,
    publish: &watch::Sender<Arc<Snapshot>>,
    snapshot: &mut Snapshot,
) -> Result<StoreError, StoreError> {
    let listing = store.list(prefix, attempt).await?;
    snapshot.relist(listing.revision, listing.items, clock.now());
    publish.send_replace(Arc::new(snapshot.clone()));
    let mut events = store.watch(prefix, Revision(listing.revision.0 + 1), attempt).await?;
    snapshot.watching = true;
    snapshot.trouble = None;
    publish.send_replace(Arc::new(snapshot.clone()));
    let mut lived = false;
    let end = loop {
        match events.next().await {
            Some(WatchEvent::Changes { revision, changes }) => snapshot.apply(revision, changes, clock.now()),
            Some(WatchEvent::Progress(revision)) => snapshot.apply(revision, Vec::new(), clock.now()),
            Some(WatchEvent::Compacted) => break StoreError::Unknown("changes were compacted before they were seen".to_owned()),
            Some(WatchEvent::Lost(why)) => break StoreError::Unknown(why),
            None => break StoreError::Unknown("the watch ended without a word".to_owned()),
        }
        lived = true;
        publish.send_replace(Arc::new(snapshot.clone()));
    };
    if lived { Ok(end) } else { Err(end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::Moment;

    fn at(seconds: u64) -> Reading {
        Reading::default().plus(Duration::from_secs(seconds))
    }

    fn kv(key: &str, revision: u64) -> KeyValue {
        let revision = Revision(revision);
        KeyValue { key: key.into(), value: Vec::new(), create_revision: revision, mod_revision: revision, expiry: None }
    }

    #[test]
    fn a_revision_keeps_the_moment_of_its_first_receipt() {
        let mut snapshot = Snapshot::default();
        snapshot.relist(Revision(5), vec![kv("a", 3), kv("b", 5)], at(1));
        snapshot.apply(Revision(6), vec![Change::Put(kv("b", 6))], at(2));
        snapshot.relist(Revision(9), vec![kv("a", 3), kv("b", 6), kv("c", 9)], at(7));
        assert_eq!(snapshot.get("a").map(|seen| seen.received), Some(at(1)));
        assert_eq!(snapshot.get("b").map(|seen| seen.received), Some(at(2)));
        assert_eq!(snapshot.get("c").map(|seen| seen.received), Some(at(7)));
        assert_eq!(snapshot.as_of.map(|at| at.boot), Some(Moment::from_nanos(7_000_000_000)));
    }

    #[test]
    fn keys_that_vanished_while_nobody_watched_are_gone() {
        let mut snapshot = Snapshot::default();
        snapshot.relist(Revision(5), vec![kv("a", 3), kv("b", 5)], at(1));
        snapshot.relist(Revision(6), vec![kv("b", 5)], at(2));
        assert_eq!(snapshot.get("a"), None);
        assert_eq!(snapshot.history, 0);
    }

    #[test]
    fn a_store_that_went_back_begins_a_new_history() {
        let mut snapshot = Snapshot::default();
        snapshot.relist(Revision(5), vec![kv("a", 3)], at(1));
        snapshot.relist(Revision(4), vec![kv("a", 3)], at(2));
        assert_eq!(snapshot.history, 1);
        assert_eq!(snapshot.get("a").map(|seen| seen.received), Some(at(2)), "the same number means nothing there");
    }
}
