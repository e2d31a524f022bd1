//! The agent's side of plugins: what is delivered to whom, what a plugin may do, and the protocol to the process that runs them.

#![forbid(unsafe_code)]

pub mod protocol;
