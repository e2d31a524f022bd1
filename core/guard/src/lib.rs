//! The guard: the small process that owns the postmaster and the deadline of the leader lease, and the library of what the agent
//! shares with it.
//!
//! - [`page`]: the shared page. Deadline, epoch, nonce, heartbeats, state of the fence.
//! - [`protocol`]: commands and reports on the socket between agent and guard.
//! - [`client`]: the agent's end of both, and what the agent must do when the guard fails ([`client::Watchdog`]).
//! - [`fence()`]: leave no process that can acknowledge a write of a data directory. The same code runs in guard and agent.
//! - [`service`]: the guard's own loop, behind the binary `tanist-guard`.
//!
//! Deliberately absent: anything that knows stores, roles or decisions. The guard obeys two things only: the agent's commands
//! within its rules, and the deadline against everybody.

pub mod budget;
pub mod client;
pub mod clock;
pub mod fence;
pub mod page;
pub mod protocol;
pub mod service;
mod sys;

pub use fence::{fence, leave_standby};
