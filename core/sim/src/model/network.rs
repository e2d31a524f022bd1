//! Which messages pass: links in each direction between nodes and store, and between nodes; latency, loss, late landing.

use super::{
    clock::MS,
    store::{Key, LEASE, MEMBER0, Op, Txn},
};
use crate::rng::Rng;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Arrives after this many nanoseconds.
    In(u64),
    /// Lost.
    Lost,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Network {
    nodes: usize,
    /// Cuts are counted, so that overlapping faults do not heal each other. Index `nodes` is the store.
    cut: Vec<u16>,
    /// Slow links, per node, towards and from the store.
    slow: Vec<u16>,
    /// Messages between node and store are lost or late at random, per node.
    lossy: Vec<u16>,
    /// Writes of a key that a node does not get through, per active fault.
    lost: Vec<(usize, Key)>,
}

impl Network {
    /// All links up.
    pub fn new(nodes: usize) -> Self {
        let all = nodes + 1;
        Self { nodes, cut: vec![0; all * all], slow: vec![0; all], lossy: vec![0; all], lost: Vec::new() }
    }

    /// The store's index.
    pub fn store(&self) -> usize {
        self.nodes
    }

    /// Cuts or heals one direction.
    pub fn cut(&mut self, from: usize, to: usize, on: bool) {
        count(&mut self.cut[from * (self.nodes + 1) + to], on);
    }

    /// Makes a node's way to the store slow, or fast again.
    pub fn slow(&mut self, node: usize, on: bool) {
        count(&mut self.slow[node], on);
    }

    /// Makes a node's way to the store lossy, or not any more.
    pub fn lossy(&mut self, node: usize, on: bool) {
        count(&mut self.lossy[node], on);
    }

    /// A node's writes of one key are lost, or late. The first member key stands for all keys of members: a node writes its own ones.
    pub fn lose_writes(&mut self, node: usize, key: Key, on: bool) {
        match self.lost.iter().position(|lost| *lost == (node, key)) {
            Some(at) if !on => drop(self.lost.swap_remove(at)),
            None if on => self.lost.push((node, key)),
            _ => {}
        }
    }

    /// The fate of a transaction of a node: that of a message, unless it writes what does not get through, and not the lease as well.
    pub fn fate_of(&self, node: usize, txn: &Txn, rng: &mut Rng) -> Fate {
        let written = |op: &Op| match op {
            Op::Put(key, _) | Op::PutOn(_, key, _) => self.lost.contains(&(node, (*key).min(MEMBER0))),
            Op::Delete(_) | Op::KeepAlive(_) | Op::Revoke(_) => false,
        };
        let lease = |op: &Op| matches!(op, Op::Put(LEASE, _));
        if !self.lost.is_empty() && txn.then.iter().any(written) && !txn.then.iter().any(lease) {
            return if rng.chance(300) { Fate::In(rng.range(300 * MS, 14_000 * MS)) } else { Fate::Lost };
        }
        self.fate(node, self.store(), rng)
    }

    /// One direction passes.
    pub fn open(&self, from: usize, to: usize) -> bool {
        self.cut[from * (self.nodes + 1) + to] == 0
    }

    /// A node's way to the store and back passes, and is fast.
    pub fn is_good(&self, node: usize) -> bool {
        self.linked(node, self.store()) && self.lossy[node] == 0 && self.slow[node] == 0
    }

    /// Both directions pass.
    pub fn linked(&self, one: usize, other: usize) -> bool {
        self.open(one, other) && self.open(other, one)
    }

    /// The fate of a message that is sent now. A connection retransmits: what is cut off may still arrive long after.
    pub fn fate(&self, from: usize, to: usize, rng: &mut Rng) -> Fate {
        let node = from.min(to);
        let lossy = self.lossy[node] > 0 && rng.chance(350);
        if !self.open(from, to) || lossy {
            return if rng.chance(400) { Fate::In(rng.range(300 * MS, 14_000 * MS)) } else { Fate::Lost };
        }
        if self.slow[node] > 0 {
            return Fate::In(rng.range(50 * MS, 2_600 * MS));
        }
        Fate::In(rng.range(MS / 5, 3 * MS))
    }
}

fn count(cell: &mut u16, on: bool) {
    *cell = if on { *cell + 1 } else { cell.saturating_sub(1) };
}
