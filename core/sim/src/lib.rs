//! A deterministic simulator of whole clusters: the shipped engine decides on every node, everything around it is a model.
//!
//! A seed is a world, a list of faults and every chance in between; the same seed gives the same trace on every machine. First things go
//! wrong, then everything heals. Invariants are judged after every event, by the truth of the models.

pub mod absence;
pub mod branching;
pub mod case;
pub mod combination;
pub mod command;
pub mod coverage;
pub mod exhaustive;
pub mod fault;
pub mod invariant;
pub mod meanwhile;
pub mod model;
pub mod mutant;
pub mod one_by_one;
pub mod options;
pub mod queue;
pub mod rng;
pub mod schedule;
pub mod storage;
pub mod substitution;
pub mod trace;
pub mod variation;
pub mod world;
