//! What this process gives up before it reads anything.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs},
};

/// The most that the kernel can prefer a process to all others when memory runs out.
const KILLED_FIRST: &str = "1000";

/// When memory runs out, the kernel is to choose this process, its children included: what a guest has taken is not worth a database.
/// Must run before [`give_up_privileges`], after which this process does not own its own files under `/proc`.
pub fn volunteer_for_the_oom_killer() -> std::io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", KILLED_FIRST)
}

/// Gives up all capabilities, the possibility to gain any by executing a file, and core dumps. Must run before the first thread is
/// started: capabilities belong to threads.
pub fn give_up_privileges() -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
