//! Which messages pass: links in each direction between nodes and store, and between nodes; latency, loss, late landing.

use super::clock::MS;
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
#[derive(Debug)]
pub struct Network {
    nodes: usize,
    /// Cuts are counted, so that overlapping faults do not heal each other. Index `nodes` is the store.
    cut: Vec<u16>,
    /// Slow links, per node, towards and from the store.
    slow: Vec<u16>,
    /// Messages between node and store are lost or late at random, per node.
    lossy: Vec<u16>,
}

impl Network {
    /// All links up.
    pub fn new(nodes: usize) -> Self {
        let all = nodes + 1;
        Self { nodes, cut: vec![0; all * all], slow: vec![0; all], lossy: vec![0; all] }
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

    /// One direction passes.
    pub fn open(&self, from: usize, to: usize) -> bool {
        self.cut[from * (self.nodes + 1) + to] == 0
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
