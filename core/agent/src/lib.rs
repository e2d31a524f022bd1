//! The agent and its command: the one place that knows every adapter.
//!
//! * [`config`]: patroni.yml and our own sections;
//! * [`run`]: the loop that observes, decides and waits; [`execute`]: what it begins, one file per effect;
//! * [`links`]: guard, PostgreSQL, plugins, DNS, peers; [`cluster`]: the store's keys;
//! * [`rest`]: the REST API; [`cli`]: the command line; [`demo`]: the demonstration.

#![forbid(unsafe_code)]

pub mod cli;
pub mod cluster;
pub mod config;
pub mod demo;
pub mod execute;
pub mod links;
pub mod rest;
pub mod run;
