//! The client that counts: a process of its own which writes rising numbers to every node over sessions it keeps, and notes each answer.
//!
//! Its notes are lines `NANOS NODE NUMBER WORD`: boot time of the answer, address of the node, the number, and `ack`, `fail` or
//! `doubt` (the row may or may not be there: connection lost, or PostgreSQL warned that it no longer waited for a standby).

use crate::{
    net::{Inside, within},
    place, process,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The table it writes.
pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS counted (n bigint PRIMARY KEY)";

/// A running writer.
pub struct Writer {
    child: Child,
    notes: PathBuf,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it came, nanoseconds of boot time.
    pub at: u64,
    /// From which node.
    pub node: String,
    /// The number written.
    pub number: i64,
    /// `ack`, `fail` or `doubt`.
    pub word: String,
}

/// Everything it was told.
pub struct Notes(pub Vec<Note>);

impl Writer {
    /// Starts one thread per node, each writing every 10 ms to whoever accepts; on a host of its own where there is one.
    pub fn start(directory: &std::path::Path, nodes: &[SocketAddr], host: Option<&Inside>) -> Self {
        let notes = directory.join(format!("notes-{}", boot_nanos()));
        let program = std::env::current_exe().expect("this program");
        let beside =
            program.ancestors().find(|path| path.join("writer").is_file()).expect("the writer is built beside the tests");
        let mut command = Command::new(beside.join("writer"));
        command.arg(&notes).args(nodes.iter().map(ToString::to_string));
        let child = within(host, command).stdin(Stdio::piped()).spawn().expect("the writer starts");
        place::open_to_all(directory);
        Self { child, notes }
    }

    /// What it has noted up to now.
    pub fn so_far(&self) -> Notes {
        let text = std::fs::read_to_string(&self.notes).unwrap_or_default();
        Notes(text.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(note).collect())
    }

    /// Waits until a write that was sent after now is acknowledged.
    pub fn writes_again(&self, limit: Duration) -> Note {
        let now = boot_nanos();
        crate::wait::until("a new write is acknowledged", limit, || {
            self.so_far().0.into_iter().find(|note| note.at > now && note.word == "ack").ok_or_else(|| "none".into())
        })
    }

    /// Ends it and gives its notes.
    pub fn finish(mut self) -> Notes {
        drop(self.child.stdin.take());
        self.child.wait().expect("the writer ends");
        self.so_far()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        process::signal(self.child.id().cast_signed(), rustix::process::Signal::KILL);
        let _ended = self.child.wait();
    }
}

fn note(line: &str) -> Option<Note> {
    let mut words = line.split_whitespace();
    let at = words.next()?.parse().ok()?;
    let node = words.next()?.to_owned();
    let number = words.next()?.parse().ok()?;
    Some(Note { at, node, number, word: words.next()?.to_owned() })
}

/// Nanoseconds of boot time.
pub fn boot_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

impl Notes {
    /// Acknowledged numbers.
    pub fn acknowledged(&self) -> BTreeSet<i64> {
        self.of("ack").map(|note| note.number).collect()
    }

    /// Notes with this word.
    pub fn of<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a Note> {
        self.0.iter().filter(move |note| note.word == word)
    }

    /// The longest time between two acknowledgements, by whomever, after `from`.
    pub fn gap_after(&self, from: u64) -> Duration {
        let mut times: Vec<u64> = self.of("ack").map(|note| note.at).collect();
        times.sort_unstable();
        let gaps = times.windows(2).filter(|pair| pair[1] > from).map(|pair| pair[1] - pair[0]);
        Duration::from_nanos(gaps.max().unwrap_or(u64::MAX))
    }

    /// Nodes that acknowledged after `from`, with how often.
    pub fn nodes_after(&self, from: u64) -> BTreeMap<String, usize> {
        let mut nodes = BTreeMap::new();
        for note in self.of("ack").filter(|note| note.at > from) {
            *nodes.entry(note.node.clone()).or_default() += 1;
        }
        nodes
    }

    /// How long two nodes acknowledged in turns: zero when each node's time as acknowledging primary is an interval of its own.
    pub fn overlap(&self) -> Duration {
        let mut acks: Vec<&Note> = self.of("ack").collect();
        acks.sort_by_key(|note| note.at);
        let mut turns: Vec<(String, u64, u64)> = Vec::new();
        for note in acks {
            match turns.last_mut() {
                Some((node, _, end)) if *node == note.node => *end = note.at,
                _ => turns.push((note.node.clone(), note.at, note.at)),
            }
        }
        // A node that comes back at once after one other's turn has acknowledged beside it; a later return is a failover.
        let beside = turns.windows(3).filter(|three| three[0].0 == three[2].0 && three[2].1 - three[0].2 < 100_000_000);
        Duration::from_nanos(beside.map(|three| three[2].1 - three[0].2).sum())
    }
}
