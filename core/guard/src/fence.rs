//! The fence: afterwards no process that can acknowledge a write of the data directory can ever run again.
//!
//! A backend inside a statement does not notice that its postmaster is dead; it is its own session leader and, once orphaned, has
//! another parent. What finds all of them is that every PostgreSQL process works in the data directory. So: stop the postmaster
//! (nothing new is forked), kill its children until none is new, kill the postmaster, then scan for processes whose working directory
//! *is* the data directory (device and inode, not name) until two scans find none that is not dead, or killed and in uninterruptible
//! sleep.
//!
//! Only these are killed by the scan: programs named like PostgreSQL's own (`postgres…`, `postmaster`, `edb-postgres`, `pg_…`, `initdb`),
//! and orphans that the fencing process inherited as a subreaper. An operator's shell or `psql` in the data directory lives on.
//!
//! Without allocation, and without writing to the data directory's file system, which may hang: what is left there for whoever
//! starts PostgreSQL next is a step of its own ([`leave_standby`]). It does not reap (that is the parent's) and does not time itself
//! out: a killed process may take long to go, but nothing may run on.

use crate::{
    clock::{MS, boot_now_ns},
    sys::{
        event,
        file::{self, FileId},
        proc, process,
    },
};
use std::{
    ffi::{CStr, CString},
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::Path,
};

/// How a fence went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// Nanoseconds until every signal was sent. From here on nothing is acknowledged.
    pub signalled_ns: u64,
    /// Nanoseconds until nothing was left.
    pub complete_ns: u64,
    /// Processes that were killed.
    pub killed: u32,
}

/// Fence the PostgreSQL in `data_dir`. `postmaster`: its process as far as known, for example from the page; else it is looked up in
/// `postmaster.pid`. Returns when the fence is complete. An error means that the directory cannot be named.
pub fn fence(data_dir: &Path, postmaster: Option<i32>) -> io::Result<Fenced> {
    let path = CString::new(data_dir.as_os_str().as_bytes())?;
    let postmaster = postmaster.or_else(|| recorded_postmaster(data_dir));
    Ok(run(&Target { data_dir: &path, postmaster, child: false, home: None, spare: 0 }, &mut || ()))
}

/// After a fence: leave `standby.signal`, so that nobody starts PostgreSQL writable by hand. Waits for the disk, for ever if it hangs.
pub fn leave_standby(data_dir: &Path) -> io::Result<()> {
    mark_standby(&CString::new(data_dir.as_os_str().as_bytes())?)
}

/// The first line of `postmaster.pid`.
pub(crate) fn recorded_postmaster(data_dir: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1)
}

/// What to fence.
pub(crate) struct Target<'a> {
    /// The data directory.
    pub(crate) data_dir: &'a CStr,
    /// The postmaster, if known.
    pub(crate) postmaster: Option<i32>,
    /// The postmaster is our child, so its number is certain. Else it is believed only if it works in the data directory.
    pub(crate) child: bool,
    /// What the data directory was when the postmaster was started; it may have been replaced since.
    pub(crate) home: Option<FileId>,
    /// A child of ours that is never killed (the agent); 0: none.
    pub(crate) spare: i32,
}

/// Kill everything. `tick` is called often: to reap, to show that we run.
pub(crate) fn run(target: &Target<'_>, tick: &mut dyn FnMut()) -> Fenced {
    let began = boot_now_ns();
    let mut seen = Seen::new();
    let certain = if target.child { target.postmaster } else { target.postmaster.filter(|pid| works_in_data_dir(*pid, target)) };
    if let Some(postmaster) = certain {
        process::signal(postmaster, libc::SIGSTOP);
        kill_children(postmaster, &mut seen, tick);
        process::signal(postmaster, libc::SIGKILL);
        seen.add(postmaster);
    }
    let homes = [file::id(target.data_dir).ok(), target.home];
    let mut signalled = None;
    let mut quiet = 0;
    while quiet < 2 {
        tick();
        let before = seen.total;
        match kill_workers(&homes, target.spare, &mut seen) {
            // What cannot be looked at is not gone.
            Err(_) => quiet = 0,
            Ok(0) => quiet += 1,
            Ok(_) => quiet = 0,
        }
        if signalled.is_none() && seen.total == before {
            signalled = Some(boot_now_ns());
        }
        if quiet == 0 {
            event::nap(MS);
        }
    }
    let now = boot_now_ns();
    Fenced { signalled_ns: signalled.unwrap_or(now) - began, complete_ns: now - began, killed: seen.total }
}

/// Leave `standby.signal` in a data directory, and no `promote`: whoever starts it gets a standby. No data directory: nothing to do.
pub(crate) fn mark_standby(data_dir: &CStr) -> io::Result<()> {
    let dir = match file::directory(data_dir) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
        other => other?,
    };
    if !file::has(dir.as_fd(), c"PG_VERSION") {
        return Ok(());
    }
    file::remove(dir.as_fd(), c"promote")?;
    file::touch(dir.as_fd(), c"standby.signal")
}

/// SIGKILL the children of a stopped process until no new one appears. It cannot reap them, so their numbers stay theirs.
fn kill_children(parent: i32, seen: &mut Seen, tick: &mut dyn FnMut()) {
    let mut quiet = 0;
    while quiet < 2 {
        tick();
        let before = seen.total;
        let scanned = proc::each_process(&mut |pid| {
            if proc::stat(pid).is_some_and(|stat| stat.parent == parent && !dead(stat.state))
                && process::signal(pid, libc::SIGKILL)
            {
                seen.add(pid);
            }
        });
        quiet = if scanned.is_ok() && seen.total == before { quiet + 1 } else { 0 };
        // A scan that fails all the time must not keep the postmaster from being killed: the next step finds the rest.
        if scanned.is_err() {
            return;
        }
    }
}

/// SIGKILL what works in the data directory. How many of them may still run.
fn kill_workers(homes: &[Option<FileId>], spare: i32, seen: &mut Seen) -> io::Result<u32> {
    let own = std::process::id() as i32;
    let works_here = |pid| proc::cwd(pid).is_some_and(|cwd| homes.contains(&Some(cwd)));
    let mut alive = 0;
    proc::each_process(&mut |pid| {
        if pid == own || pid == spare || !works_here(pid) {
            return;
        }
        let Some(stat) = proc::stat(pid).filter(|stat| !dead(stat.state)) else { return };
        if stat.parent != own && !is_postgres(pid) {
            return;
        }
        // Exactly this process, not one that got its number meanwhile.
        let Ok(fd) = process::pidfd(pid) else { return alive += 1 };
        if !works_here(pid) || !process::signal_fd(fd.as_fd(), libc::SIGKILL) {
            return;
        }
        let known = !seen.add(pid);
        if !(known && stat.state == b'D') {
            alive += 1;
        }
    })?;
    Ok(alive)
}

fn works_in_data_dir(pid: i32, target: &Target<'_>) -> bool {
    let cwd = proc::cwd(pid);
    cwd.is_some() && (cwd == target.home || cwd == file::id(target.data_dir).ok())
}

fn is_postgres(pid: i32) -> bool {
    proc::executable_name(pid, |name| {
        [b"postgres".as_slice(), b"postmaster", b"edb-postgres", b"pg_", b"initdb"].iter().any(|known| name.starts_with(known))
    })
    .unwrap_or(false)
}

const fn dead(state: u8) -> bool {
    matches!(state, b'Z' | b'X' | b'x')
}

/// Processes that got their signal already.
struct Seen {
    pids: [i32; 4096],
    total: u32,
}

impl Seen {
    fn new() -> Self {
        Self { pids: [0; 4096], total: 0 }
    }

    /// Whether it is new. When the list is full nothing is new any more: scans go on, only the measured time is off.
    fn add(&mut self, pid: i32) -> bool {
        let count = self.total as usize;
        if self.pids[..count].contains(&pid) {
            return false;
        }
        let Some(room) = self.pids.get_mut(count) else { return false };
        *room = pid;
        self.total += 1;
        true
    }
}
