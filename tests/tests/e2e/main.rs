//! End to end: real nodes under real faults, one file a subject. One program, so that it is linked once and two tests always run side by
//! side; `cargo test -p tanist-tests --test e2e -- rewind::` runs one subject.

mod bad_input;
mod balancer;
mod cancelled_waits;
mod clock_jumps;
mod commit_fence;
mod configuration;
mod demo;
mod failsafe;
mod hostile_store;
mod interface;
mod network;
mod operations;
mod password;
mod patroni_tools;
mod plugins;
mod processes;
mod replay;
mod requests;
mod restored_store;
mod rewind;
mod slots;
mod storage;
mod store_certificates;
mod store_leader;
mod store_trouble;
