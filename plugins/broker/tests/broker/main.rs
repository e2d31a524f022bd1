//! The broker over real host processes.

mod bench;
mod delivery;
mod hosting;
mod kills;
mod requests;
