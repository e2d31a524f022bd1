//! Models of everything around the engine, one file each.

pub mod broker;
pub mod clock;
pub mod config;
pub mod guard;
pub mod keeper;
pub mod network;
pub mod patroni;
pub mod plugins;
pub mod postgres;
pub mod record;
pub mod store;
pub mod wal;
