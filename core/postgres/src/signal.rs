//! What a running server is told by a signal, because it may let nobody in who could say it over a session.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;

/// Lets the server read its configuration again: SIGHUP to its postmaster. `is_it` is asked once the process is held, so that nobody else
/// gets the signal who has its number by then. A server that has not yet answered anybody may die of it.
pub fn reload(postmaster: i32, is_it: impl FnOnce() -> bool) -> io::Result<()> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("the server {postmaster} has ended"));
    let process = pidfd_open(Pid::from_raw(postmaster).ok_or_else(gone)?, PidfdFlags::empty())?;
    if !is_it() {
        return Err(gone());
    }
    Ok(pidfd_send_signal(&process, Signal::HUP)?)
}
