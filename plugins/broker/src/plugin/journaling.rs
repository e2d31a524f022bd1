//! Keeps a plugin's journal as new as its queue, without ever waiting for the disk on the broker's thread.

use crate::{
    Tuning,
    durable::{Durable, DurableError},
    journal::Record,
};
use std::time::Duration;
use tanist_engine::Moment;

/// How far the journal is behind the queue.
#[derive(Debug)]
pub(super) struct Journaling {
    journal: Durable<Record>,
    wanted: u64,
    written: u64,
    in_flight: bool,
    /// Since when it is behind.
    behind_since: Option<Moment>,
    /// The last write failed; the next attempt.
    retry_at: Option<Moment>,
    patience: Duration,
    retry: Duration,
    problem: Option<String>,
}

/// A journal to write, away from the broker's thread.
pub(crate) struct JournalJob {
    version: u64,
    journal: Durable<Record>,
    record: Record,
}

/// A journal was written, or not.
pub(crate) struct JournalDone {
    version: u64,
    result: Result<(), DurableError>,
}

impl JournalJob {
    pub(crate) fn run(self) -> JournalDone {
        JournalDone { version: self.version, result: self.journal.write(&self.record) }
    }
}

impl Journaling {
    /// Reads the journal. An error is shown, and the record then is nothing.
    pub(super) fn open(journal: Durable<Record>, tuning: &Tuning) -> (Self, Option<Record>) {
        let (record, problem) = match journal.load() {
            Ok(record) => (Some(record), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let journaling = Self {
            journal,
            wanted: 0,
            written: 0,
            in_flight: false,
            behind_since: None,
            retry_at: None,
            patience: tuning.journal_patience,
            retry: tuning.journal_retry,
            problem,
        };
        (journaling, record)
    }

    /// There is something new to keep.
    pub(super) fn behind(&mut self, now: Moment) {
        self.wanted += 1;
        self.behind_since.get_or_insert(now);
    }

    /// Until when a call has to wait for the journal.
    pub(super) fn wait(&self) -> Option<Moment> {
        self.behind_since.map(|since| since + self.patience)
    }

    /// When a failed write is due again.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        self.retry_at
    }

    /// A write that has to be started now, of what `record` gives.
    pub(super) fn job(&mut self, now: Moment, record: impl FnOnce() -> Record) -> Option<JournalJob> {
        let due = self.wanted != self.written || self.retry_at.is_some_and(|at| at <= now);
        if self.in_flight || !due {
            return None;
        }
        self.in_flight = true;
        self.retry_at = None;
        Some(JournalJob { version: self.wanted, journal: self.journal.clone(), record: record() })
    }

    /// A write has ended. A failed one holds no call up: calls matter more.
    pub(super) fn done(&mut self, done: JournalDone, now: Moment) -> Option<&str> {
        let JournalDone { version, result } = done;
        self.in_flight = false;
        self.written = version;
        // What came meanwhile gets its time anew.
        self.behind_since = (self.wanted != version).then_some(now);
        match result {
            Ok(()) => {
                // What was wrong with the file at the start stays visible until it was replaced more than once.
                if version > 1 {
                    self.problem = None;
                }
                None
            }
            Err(error) => {
                self.retry_at = Some(now + self.retry);
                self.problem = Some(error.to_string());
                self.problem.as_deref()
            }
        }
    }

    /// What is wrong with the journal, if anything.
    pub(super) fn problem(&self) -> Option<&String> {
        self.problem.as_ref()
    }

    /// Everything is on the disk.
    pub(super) fn is_current(&self) -> bool {
        self.behind_since.is_none() && self.retry_at.is_none()
    }
}
