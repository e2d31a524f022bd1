//! What the engine decides: golden scenarios, each interrupted after every step, and random observations; and what the audit refuses.

mod audited;
mod dice;
mod golden;
mod harness;
mod random;
