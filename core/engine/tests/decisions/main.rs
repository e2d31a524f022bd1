//! What the engine decides: golden scenarios, each interrupted after every step, and random observations.

mod golden;
mod harness;
mod random;
