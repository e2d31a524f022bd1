//! The process that runs plugins: WebAssembly components in a sandbox, one socket to the agent, nothing else.
//!
//! [`serve()`] reads the agent's messages, loads components ([`Loader`]), calls them ([`Plugin`]) and answers. What a guest wants
//! from the world becomes a request to the agent ([`Agent`]); this process performs nothing itself and decides nothing about
//! grants beyond what is linked. Every breach of a limit ends the call with an outcome of its own, and the instance with it.
//!
//! Deliberately absent: retries, queues, journals, secrets, the network. They are the agent's.

#![deny(unsafe_code)]

mod agent;
mod bindings;
mod budget;
mod builtin;
mod cache;
mod check;
mod compile;
mod convert;
mod engine;
mod fault;
mod guest;
mod imports;
mod inspect;
mod limiter;
mod loader;
mod meter;
mod plugin;
mod privileges;
mod serve;
mod text;

pub use agent::Agent;
pub use builtin::BUILTINS;
pub use check::{CheckError, Report, check};
pub use compile::{Compiler, compile_stdin};
pub use engine::Sandbox;
pub use loader::Loader;
pub use plugin::{Plugin, Remains};
pub use privileges::{give_up_privileges, volunteer_for_the_oom_killer};
pub use serve::{ServeError, serve};

/// The environment variable with the directory of compiled components. Absent: every load compiles.
pub const CACHE_ENV: &str = "TANIST_PLUGIN_CACHE";
