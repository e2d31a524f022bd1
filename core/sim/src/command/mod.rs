//! The commands of `tanist-sim`.

pub mod exhaustive;
pub mod fuzz;
pub mod mutants;
pub mod replay;
pub mod shrink;
pub mod source;
pub mod story;
