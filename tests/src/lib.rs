//! What the end-to-end tests and the benchmark share: starting a cluster of real processes, hurting it from outside, and counting what
//! a client was promised.
//!
//! Nothing here looks inside tanist: it starts the programs in `target/bin` as a user would, reads REST, SQL and DNS, and sends signals.

pub mod bench;
pub mod certificates;
pub mod cluster;
pub mod command;
pub mod cut;
pub mod dns;
pub mod guest;
pub mod haproxy;
pub mod hook;
pub mod idle;
pub mod named;
pub mod net;
pub mod node;
pub mod patroni;
pub mod patronictl;
pub mod place;
pub mod process;
pub mod record;
pub mod rest;
pub mod sql;
pub mod store;
pub mod subject;
pub mod volume;
pub mod wait;
pub mod writer;
