//! The embedded store: for one machine only, for demonstrations, tests and development.
//!
//! One server holds the keys in memory and, where a file is given, in a log that is synced before any answer; agents speak to it
//! over a Unix socket, each over connections of its own. Semantics are etcd's. Deliberately absent: several servers, several
//! machines, access rights beyond those of the socket file.

mod client;
mod engine;
mod frame;
mod log;
mod protocol;
mod server;
mod state;

pub use client::LocalStore;
pub use server::{ServeError, Server, serve};
