//! The flight recorder: the last decisions with everything they depended on, in memory for `explain` and on disk for `replay`.
//!
//! Only decisions that did something, or whose reason differs from the one before, are kept. A thread of its own writes the file, so that a
//! stalled disk never holds up the run loop; what it cannot take is left out and said so, not waited for.

use super::wall;
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
};
use tanist_engine::{Action, Decision, Memory, Moment, Observation, Policy, Recorded};

/// Entries kept in memory.
const KEPT: usize = 256;
/// A file of this size is moved aside and a new one begun; at most two exist.
const FILE_BYTES: u64 = 8 << 20;
/// Entries waiting for the disk.
const QUEUE: usize = 512;
/// The name of the file in the state directory.
pub const FILE_NAME: &str = "flight.jsonl";

/// A shorter form for people: `explain` and `GET /explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Wall-clock time in milliseconds since 1970.
    pub wall_ms: u64,
    /// Which node decided.
    pub node: String,
    /// Why, in the engine's words.
    pub reason: String,
    /// The effects.
    pub actions: Vec<String>,
    /// What the audit had against it.
    pub violation: Option<String>,
}

/// Keeps the story of this node.
pub struct Recorder {
    recent: Arc<Mutex<VecDeque<Line>>>,
    last: (String, Vec<String>),
    to_disk: mpsc::SyncSender<Recorded>,
    /// Entries that the disk did not take, since the last that it took.
    left_out: u64,
}

/// A reader of the recorder's memory, for the REST API.
#[derive(Clone, Default)]
pub struct Story(Arc<Mutex<VecDeque<Line>>>);

impl Story {
    /// The lines kept, oldest first.
    pub fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Adds a line.
    pub fn add(&self, line: Line) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(line);
    }
}

impl Recorder {
    /// Starts the writer thread for `state_dir`.
    pub fn start(state_dir: &Path) -> io::Result<Self> {
        let (to_disk, entries) = mpsc::sync_channel(QUEUE);
        let path = state_dir.join(FILE_NAME);
        std::thread::Builder::new().name("recorder".into()).stack_size(256 << 10).spawn(move || write_all(&path, &entries))?;
        Ok(Self { recent: Arc::default(), last: Default::default(), to_disk, left_out: 0 })
    }

    /// A reader.
    pub fn story(&self) -> Story {
        Story(self.recent.clone())
    }

    /// Keeps one decision, if it is worth it. Returns its line when it was kept.
    pub fn record(
        &mut self,
        policy: &Policy,
        memory: &Memory,
        seen: &Observation,
        decision: &Decision,
        violation: Option<String>,
        now: Moment,
    ) -> Option<Line> {
        let reason = decision.reason.to_string();
        let told = decision.actions.iter().filter(|action| !is_routine(action));
        let actions: Vec<String> = told.map(|action| format!("{action:?}")).collect();
        // An effect is asked for until its result is seen: only the first request is news.
        if violation.is_none() && reason == self.last.0 && actions.iter().all(|action| self.last.1.contains(action)) {
            return None;
        }
        self.last = (reason.clone(), actions.clone());
        let wall_ms = wall::millis();
        let line = Line { wall_ms, node: seen.me.to_string(), reason, actions, violation: violation.clone() };
        self.story().add(line.clone());
        let entry = Recorded {
            wall_ms,
            now,
            policy: policy.clone(),
            memory: memory.clone(),
            seen: seen.clone(),
            decision: decision.clone(),
            violation,
        };
        match self.to_disk.try_send(entry) {
            Ok(()) if self.left_out > 0 => {
                tracing::warn!(
                    entries = self.left_out,
                    "the flight recorder's disk was too slow: entries are missing in the file"
                );
                self.left_out = 0;
            }
            Ok(()) => {}
            Err(_) => {
                if self.left_out == 0 {
                    tracing::warn!("the flight recorder's disk is too slow: from here on entries are left out of the file");
                }
                self.left_out += 1;
            }
        }
        Some(line)
    }
}

/// Happens all the time and says nothing.
fn is_routine(action: &Action) -> bool {
    matches!(action, Action::Renew | Action::PublishStatus { .. } | Action::PublishMember(_))
}

fn write_all(path: &Path, entries: &mpsc::Receiver<Recorded>) {
    let mut file = None;
    while let Ok(entry) = entries.recv() {
        if let Err(error) = write_one(path, &mut file, &entry) {
            tracing::warn!(path = %path.display(), %error, "the flight recorder cannot write");
            file = None;
        }
    }
}

fn write_one(path: &Path, file: &mut Option<File>, entry: &Recorded) -> io::Result<()> {
    let mut open = match file.take() {
        Some(open) if open.metadata()?.len() < FILE_BYTES => open,
        Some(_) => {
            std::fs::rename(path, older(path))?;
            append(path)?
        }
        None => append(path)?,
    };
    let mut text = serde_json::to_vec(entry)?;
    text.push(b'\n');
    open.write_all(&text)?;
    *file = Some(open);
    Ok(())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("1.jsonl")
}
