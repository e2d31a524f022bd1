//! How much is enumerated.

use crate::mutant::Mutant;

/// Bounds of one enumeration.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Nodes.
    pub nodes: u8,
    /// Synchronous mode, not strict; else asynchronous.
    pub synchronous: bool,
    /// Epochs, the first leader's included.
    pub epochs: u8,
    /// Faults: a call given up before its answer, a crash of PostgreSQL, a restart of an agent.
    pub faults: u8,
    /// Client writes.
    pub writes: u8,
    /// Moves from the first state, at most.
    pub moves: u32,
    /// Tells how far it is, on standard error.
    pub tells: bool,
    /// The rule that is switched off.
    pub mutant: Option<Mutant>,
}

impl Scope {
    /// Bounds of so many nodes, epochs and faults.
    pub fn of(nodes: u8, synchronous: bool, epochs: u8, faults: u8, moves: u32) -> Self {
        Self { nodes, synchronous, epochs, faults, writes: 1, moves, tells: false, mutant: None }
    }

    /// With a rule switched off.
    pub fn without(self, mutant: Option<Mutant>) -> Self {
        Self { mutant, ..self }
    }

    /// A rule is switched off.
    pub fn lacks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
