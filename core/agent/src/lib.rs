//! The agent and its command: the one place that knows every adapter.

pub mod config;
