//! Ends walreceivers, also those that were asked for and do not run yet.
//!
//! The startup process asks the postmaster by a signal; the postmaster starts a walreceiver when it has handled it, or, if another
//! one lived, when it has reaped that one, both in its loop, before it serves the next-but-one connection. So when none of its children
//! is a walreceiver, none is too young to tell and none is dead but unreaped, after two new sessions were served one after the other,
//! none will come: nobody asks any more ([`super::startup`]).

use super::{
    CutError,
    children::{self, Kind},
};
use crate::{Settings, session::Session};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(1);

/// Returns when no walreceiver is left and none will come.
pub(super) async fn end_all(settings: &Settings, postmaster: i32, deadline: Instant, limit: Duration) -> Result<(), CutError> {
    loop {
        for _ in 0..2 {
            Session::open(settings, limit).await?.close().await;
        }
        let children = children::of(postmaster)?;
        let mut clean = true;
        for (pid, kind) in children {
            match kind {
                Kind::Other => continue,
                Kind::Receiver => end(postmaster, pid, deadline).await?,
                Kind::Unknown => {}
            }
            clean = false;
        }
        if clean {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(CutError::Receiver(limit));
        }
        sleep(PAUSE).await;
    }
}

/// Asks one to end and waits for it. PostgreSQL has no function for this: `pg_terminate_backend` refuses a walreceiver.
async fn end(postmaster: i32, pid: i32, deadline: Instant) -> Result<(), CutError> {
    let Some(id) = Pid::from_raw(pid) else { return Ok(()) };
    let handle = match pidfd_open(id, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(std::io::Error::from(error).into()),
    };
    // The number may have gone to another process before the handle was there; the handle stays with whom it names now.
    if children::kind(postmaster, pid) != Some(Kind::Receiver) {
        return Ok(());
    }
    match pidfd_send_signal(&handle, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(std::io::Error::from(error).into()),
    }
    // One that stands still is told by the deadline of the whole.
    let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap_or_default();
    let ended = tokio::task::spawn_blocking(move || poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left))).await;
    match ended {
        Ok(Ok(_) | Err(rustix::io::Errno::INTR)) => Ok(()),
        Ok(Err(error)) => Err(std::io::Error::from(error).into()),
        Err(error) => Err(std::io::Error::other(error).into()),
    }
}
