//! Whether the storage of the data directory takes writes, and has room.
//!
//! PostgreSQL tells neither: a session that waits in a hanging fsync says nothing, and others go on being served from memory. So every
//! second a few bytes are written to the file system of the data directory, and to that of its WAL where it is another one, and
//! flushed; no WAL, which an idle server would have to archive. Each file system has a thread of its own that may hang with it; whether it
//! does is seen from outside. What follows from it is the engine's matter.

use crate::{
    config::StorageSettings,
    run::{Fact, Facts, clock},
};
use rustix::{
    fs::{Mode, OFlags, fsync, open, statvfs},
    io::{Errno, write},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tanist_engine::{Moment, Storage, StorageSeen};

/// Between two writes.
const PERIOD: Duration = Duration::from_secs(1);
/// So many failed writes in a row are no accident.
const FAILURES: u32 = 2;
/// So many writes in a row must succeed before a storage that did not work counts as good.
const RECOVERED: u32 = 3;
/// So many samples in a row must agree before more or less room counts; the time below alone may be that of one slow write.
const SAMPLES: u32 = 3;
/// So long room must lack before the storage counts as full: a large sort or a burst of WAL takes some for a moment.
const LACKS: Duration = Duration::from_secs(3);
/// So long there must be room before it counts as good again: a primary that stops because it is full deletes its temporary files, and
/// would be as full as before were it started again for that.
const HAS_ROOM: Duration = Duration::from_secs(10);
/// What is written: a block.
const BLOCK: [u8; 4096] = [0x7A; 4096];
/// Its name, where the file system has no files without one.
const NAME: &str = ".tanist-storage-probe";

/// The watch over the storage. Cheap to clone.
#[derive(Clone)]
pub struct StorageLink(Arc<Shared>);

struct Shared {
    settings: StorageSettings,
    volumes: Mutex<Vec<Volume>>,
}

/// One file system.
#[derive(Debug)]
struct Volume {
    path: PathBuf,
    /// A write is under way since then.
    begun: Option<Moment>,
    /// Room for others than root, bytes; `None`: it is not there, or one with the volume before.
    free: Option<u64>,
    room: Room,
    failures: u32,
    /// What the last failure said.
    error: String,
    /// What was wrong; writes have to succeed for a while before it is forgotten.
    ailment: Option<Ailment>,
    sound: u32,
}

/// Whether it is full. One sample decides nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    full: bool,
    /// The newest samples, if they say otherwise: when the first was taken, and how many there are.
    otherwise: Option<(Moment, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ailment {
    since: Moment,
    why: String,
}

/// How a write ended.
#[derive(Debug)]
enum Outcome {
    /// There is nothing to write to, or nothing to be learnt from it.
    Nothing,
    /// It is on the disk, or no room was left for it.
    Written { free: u64, no_room: bool },
    /// The file system does not take it.
    Failed(String),
}

impl StorageLink {
    /// Starts the threads that write, and the task that watches them.
    pub fn spawn(settings: StorageSettings, data_dir: &Path, facts: Facts) -> io::Result<Self> {
        let paths = [data_dir.to_owned(), data_dir.join("pg_wal")];
        let volumes = Mutex::new(paths.iter().cloned().map(Volume::new).collect());
        let link = Self(Arc::new(Shared { settings, volumes }));
        for (index, path) in paths.into_iter().enumerate() {
            let (link, beside) = (link.clone(), (index > 0).then(|| data_dir.to_owned()));
            let name = if index == 0 { "storage-data" } else { "storage-wal" };
            let write = move || link.write(index, &path, beside.as_deref());
            thread::Builder::new().name(name.into()).stack_size(128 << 10).spawn(write)?;
        }
        tokio::spawn(link.clone().watch(facts));
        Ok(link)
    }

    /// Room in the data directory's file system, bytes.
    pub fn free(&self) -> Option<u64> {
        self.volumes().iter().filter_map(|volume| volume.free).min()
    }

    /// Writes again and again, for as long as the process lives.
    fn write(&self, index: usize, path: &Path, beside: Option<&Path>) {
        loop {
            self.begin(index, clock::now());
            let outcome = probe(path, beside);
            self.end(index, &outcome, clock::now());
            thread::sleep(PERIOD);
        }
    }

    async fn watch(self, facts: Facts) {
        let limit = self.0.settings.timeout.unwrap_or(PERIOD * 2);
        let mut tick = tokio::time::interval((limit / 4).clamp(Duration::from_millis(100), Duration::from_millis(500)));
        let mut told = StorageSeen::default();
        loop {
            tick.tick().await;
            let now = clock::now();
            let seen = self.judge(now);
            if (seen.state, &seen.why) == (told.state, &told.why) {
                continue;
            }
            match seen.state {
                Storage::Good => tracing::info!("the storage works again, after {:.1?}", now.since(told.since)),
                Storage::Full | Storage::Broken => tracing::error!(state = %seen.state, "{}", seen.why),
            }
            told = seen.clone();
            facts.tell(Fact::Storage(seen));
        }
    }

    fn begin(&self, index: usize, now: Moment) {
        if let Some(volume) = self.volumes().get_mut(index) {
            volume.begun = Some(now);
        }
    }

    fn end(&self, index: usize, outcome: &Outcome, now: Moment) {
        let settings = &self.0.settings;
        if let Some(volume) = self.volumes().get_mut(index) {
            // A write that returned late has hung, whether the watch has seen it or not.
            volume.hang(settings, now);
            volume.end(settings, outcome, now);
        }
    }

    /// The worst of the volumes.
    fn judge(&self, now: Moment) -> StorageSeen {
        let settings = &self.0.settings;
        let mut volumes = self.volumes();
        let seen = volumes.iter_mut().map(|volume| {
            volume.hang(settings, now);
            volume.seen(settings, now)
        });
        seen.reduce(|worst, next| if next.state > worst.state { next } else { worst }).unwrap_or_default()
    }

    fn volumes(&self) -> MutexGuard<'_, Vec<Volume>> {
        self.0.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Volume {
    fn new(path: PathBuf) -> Self {
        Self { path, begun: None, free: None, room: Room::default(), failures: 0, error: String::new(), ailment: None, sound: 0 }
    }

    /// Notes that the write under way takes longer than a write may.
    fn hang(&mut self, settings: &StorageSettings, now: Moment) {
        let (Some(begun), Some(limit)) = (self.begun, settings.timeout) else { return };
        if now.since(begun) < limit {
            return;
        }
        self.sound = 0;
        let why = format!("{}: a small write has not returned within {limit:?}, the storage hangs", self.path.display());
        self.ail(begun, why);
    }

    fn end(&mut self, settings: &StorageSettings, outcome: &Outcome, now: Moment) {
        self.begun = None;
        self.free = None;
        match outcome {
            Outcome::Nothing => {
                self.room.note(false, now);
                (self.failures, self.ailment) = (0, None);
            }
            Outcome::Written { free, no_room } => {
                self.free = Some(*free);
                // Full at the limit, and not full again before twice as much: nothing changes hands for a byte.
                let limit = settings.minimum_free;
                let lacks = *no_room || *free < limit || (self.room.full && *free < limit.saturating_mul(2));
                self.room.note(lacks, now);
                (self.failures, self.sound) = (0, self.sound.saturating_add(1));
                if self.sound >= RECOVERED {
                    self.ailment = None;
                }
            }
            Outcome::Failed(error) => {
                (self.failures, self.sound) = (self.failures.saturating_add(1), 0);
                self.error.clone_from(error);
                if self.failures >= FAILURES {
                    self.ail(now, format!("{}: {error}", self.path.display()));
                }
            }
        }
    }

    fn ail(&mut self, since: Moment, why: String) {
        if self.ailment.as_ref().is_none_or(|known| known.why != why) {
            self.ailment = Some(Ailment { since, why });
        }
    }

    fn seen(&self, settings: &StorageSettings, now: Moment) -> StorageSeen {
        match &self.ailment {
            Some(Ailment { since, why }) => StorageSeen { state: Storage::Broken, since: *since, why: why.clone() },
            None if self.room.full => {
                let limit = settings.minimum_free >> 20;
                let why = format!("{}: less than {limit} MB of room are left (tanist.storage.minimum_free)", self.path.display());
                StorageSeen { state: Storage::Full, since: now, why }
            }
            None => StorageSeen::default(),
        }
    }
}

impl Room {
    /// Takes a sample in: room lacks, or does not.
    fn note(&mut self, lacks: bool, now: Moment) {
        if lacks == self.full {
            self.otherwise = None;
            return;
        }
        let (first, before) = self.otherwise.unwrap_or((now, 0));
        let (samples, dwell) = (before.saturating_add(1), if lacks { LACKS } else { HAS_ROOM });
        *self = match samples >= SAMPLES && now.since(first) >= dwell {
            true => Self { full: lacks, otherwise: None },
            false => Self { full: self.full, otherwise: Some((first, samples)) },
        };
    }
}

/// Writes a block and waits until it is on the disk. Not where `beside` is on the same file system: that is written already.
fn probe(path: &Path, beside: Option<&Path>) -> Outcome {
    let device = |path: &Path| rustix::fs::stat(path).map(|found| found.st_dev);
    let (found, known) = (device(path), beside.map(device));
    match (found, known) {
        (Ok(found), Some(Ok(known))) if found == known => return Outcome::Nothing,
        (Ok(_), None | Some(Ok(_))) => {}
        (Err(error), _) | (_, Some(Err(error))) => return failed(error),
    }
    let free = match statvfs(path) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => return failed(error),
    };
    match write_block(path) {
        Ok(()) => Outcome::Written { free, no_room: false },
        Err(Errno::NOSPC | Errno::DQUOT) => Outcome::Written { free, no_room: true },
        Err(error) => failed(error),
    }
}

/// What says that the file system cannot be written; anything else (it is not there yet, descriptors are short) says nothing about it.
fn failed(error: Errno) -> Outcome {
    match error {
        Errno::ROFS
        | Errno::IO
        | Errno::NXIO
        | Errno::NODEV
        | Errno::STALE
        | Errno::NOTCONN
        | Errno::TIMEDOUT
        | Errno::REMOTEIO => Outcome::Failed(io::Error::from(error).to_string()),
        _ => Outcome::Nothing,
    }
}

fn write_block(path: &Path) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match open(path, flags | OFlags::TMPFILE, mode) {
        Ok(file) => fill(&file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let named = path.join(NAME);
            let file = open(&named, flags | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW, mode)?;
            let filled = fill(&file);
            rustix::fs::unlink(&named)?;
            filled
        }
        Err(error) => Err(error),
    }
}

fn fill(file: &rustix::fd::OwnedFd) -> Result<(), Errno> {
    let mut rest: &[u8] = &BLOCK;
    while !rest.is_empty() {
        let written = write(file, rest)?;
        rest = rest.get(written.max(1)..).unwrap_or_default();
    }
    fsync(file)
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
