//! A node's storage while it hangs or is full: what PostgreSQL cannot do meanwhile, and when the agent notices.
//!
//! While it hangs nothing reaches the disk: no commit, no flush report of a standby, no end of a start, promotion, shutdown or copy.
//! Sessions are served from memory, and a fence is complete all the same: what the kernel holds in a write never runs again.

use super::{
    World,
    event::{Inside, Local},
};
use crate::{
    fault::Kind,
    model::clock::{MS, SEC},
};
use tanist_engine::{Storage, StorageSeen};

/// How long a write may take before the storage counts as hanging.
pub const TIMEOUT: u64 = 3 * SEC;
/// Room is looked at this often.
const LOOK: u64 = 2 * SEC;
/// How long a storage that hung must work before it counts as good.
const RECOVERED: u64 = SEC;
/// What waits for the disk looks again.
const AGAIN: u64 = 100 * MS;

/// The storage.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    hangs: u16,
    since: u64,
    /// It hung too long, and counts as good again only then.
    doubted_until: u64,
    full: u16,
}

impl World {
    /// A fault of the storage begins or ends.
    pub fn storage_fault(&mut self, node: usize, kind: Kind, on: bool) {
        let now = self.now;
        let disk = &mut self.nodes[node].disk;
        let after = match kind {
            Kind::StorageFull => {
                disk.full = if on { disk.full + 1 } else { disk.full.saturating_sub(1) };
                self.rng.range(MS, LOOK)
            }
            _ if on => {
                disk.hangs += 1;
                if disk.hangs == 1 {
                    disk.since = now;
                }
                TIMEOUT
            }
            _ => {
                disk.hangs = disk.hangs.saturating_sub(1);
                if disk.hangs == 0 && now >= disk.since + TIMEOUT {
                    disk.doubted_until = now + RECOVERED;
                    self.slowed("a storage that hung", RECOVERED);
                }
                RECOVERED
            }
        };
        self.later(node, after, Local::Storage);
    }

    /// Nothing that is written reaches the disk.
    pub fn storage_hangs(&self, node: usize) -> bool {
        self.nodes[node].disk.hangs > 0
    }

    /// Since when.
    pub fn hangs_since(&self, node: usize) -> Option<u64> {
        let disk = &self.nodes[node].disk;
        (disk.hangs > 0).then_some(disk.since)
    }

    /// Clients' writes succeed.
    pub fn takes_writes(&self, node: usize) -> bool {
        !self.storage_hangs(node) && self.nodes[node].disk.full == 0
    }

    /// What needs the disk waits for it.
    pub fn waits_for_disk(&mut self, node: usize, what: &Inside) -> bool {
        let waits = match what {
            Inside::Up | Inside::Promoted { .. } | Inside::Stopped | Inside::Arrive { .. } => self.storage_hangs(node),
            Inside::Write => !self.takes_writes(node),
            _ => false,
        };
        if waits {
            self.later(node, AGAIN, Local::Inside(what.clone()));
        }
        waits
    }

    /// The agent's watch over the storage looks.
    pub fn storage_looked(&mut self, node: usize) {
        let disk = &self.nodes[node].disk;
        let broken = disk.hangs > 0 && self.now >= disk.since + TIMEOUT || self.now < disk.doubted_until;
        let state = match (broken, disk.full > 0) {
            (true, _) => Storage::Broken,
            (false, true) => Storage::Full,
            (false, false) => Storage::Good,
        };
        // A new agent, or one that stood still, needs its time to notice.
        let again = match disk.hangs > 0 {
            true => (!broken).then_some(disk.since + TIMEOUT),
            false => broken.then_some(disk.doubted_until),
        };
        if let Some(at) = again {
            self.later(node, at.saturating_sub(self.now).max(MS), Local::Storage);
        }
        if self.nodes[node].agent.seen.storage.state == state {
            return;
        }
        let why = if state == Storage::Good { String::new() } else { format!("the storage is {state}") };
        let since = self.reading(node).boot;
        let agent = &mut self.nodes[node].agent;
        agent.seen.storage = StorageSeen { state, since, why };
        agent.settled = None;
        self.say_node(node, || format!("storage {state}"));
        self.turn(node);
    }
}
