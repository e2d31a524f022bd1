//! How much is enumerated.

use super::state::{DEADLINE, OLD};
use crate::mutant::Mutant;

/// Bounds of one enumeration. Within them it is complete.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Nodes.
    pub nodes: u8,
    /// Synchronous mode, not strict; else asynchronous.
    pub synchronous: bool,
    /// Epochs, the first leader's included.
    pub epochs: u8,
    /// Faults.
    pub faults: u8,
    /// Client writes.
    pub writes: u8,
    /// States after which the search gives up, incomplete.
    pub states: usize,
    /// Threads.
    pub jobs: usize,
    /// Tells how far it is, on standard error.
    pub tells: bool,
    /// The rule that is switched off.
    pub mutant: Option<Mutant>,
}

impl Scope {
    /// Bounds of so many nodes, epochs and faults.
    pub fn of(nodes: u8, synchronous: bool, epochs: u8, faults: u8) -> Self {
        Self { nodes, synchronous, epochs, faults, writes: 1, states: usize::MAX, jobs: 1, tells: false, mutant: None }
    }

    /// With a rule switched off.
    pub fn without(self, mutant: Option<Mutant>) -> Self {
        Self { mutant, ..self }
    }

    /// A rule is switched off.
    pub fn lacks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The guard fences so many ticks after the send that its deadline counts from.
    pub fn deadline(&self) -> u8 {
        if self.lacks(Mutant::NoBudget) { OLD } else { DEADLINE }
    }
}
