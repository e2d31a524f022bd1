//! Processes as the kernel shows them, and signals that cannot reach a stranger.
//!
//! A process is known by its pid *and* its start time, so a pid that was given away again is not mistaken for it.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, os::fd::OwnedFd, path::PathBuf};

/// A process that once was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// When it started, in the kernel's ticks since the boot.
    pub started: u64,
}

/// One line of /proc.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which.
    pub process: Process,
    /// Its parent's pid.
    pub parent: i32,
    /// The program's name, at most 15 characters.
    pub name: String,
    /// It is dead, and only waits to be reaped.
    pub zombie: bool,
}

/// One process; nothing when it is gone.
pub fn look(pid: i32) -> Option<Seen> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let (state, parent, started) = (*fields.first()?, fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
    Some(Seen { process: Process { pid, started }, parent, name, zombie: matches!(state, "Z" | "X") })
}

/// All of them.
pub fn all() -> Vec<Seen> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(look).collect()
}

/// Everything below `root`, without it.
pub fn below(root: i32) -> Vec<Seen> {
    let all = all();
    let mut inside = BTreeSet::from([root]);
    loop {
        let children: Vec<i32> = all.iter().filter(|seen| inside.contains(&seen.parent)).map(|seen| seen.process.pid).collect();
        let before = inside.len();
        inside.extend(children);
        if inside.len() == before {
            return all.into_iter().filter(|seen| seen.process.pid != root && inside.contains(&seen.process.pid)).collect();
        }
    }
}

impl Process {
    /// Whether it still runs: a zombie does not.
    pub fn is_alive(self) -> bool {
        look(self.pid).is_some_and(|seen| seen.process == self && !seen.zombie)
    }

    /// A handle on exactly this process; nothing when it is gone.
    fn open(self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        look(self.pid).is_some_and(|seen| seen.process == self).then_some(handle)
    }
}

/// Ends processes with SIGKILL, all in one instant. Those that are gone already do not matter.
pub fn kill(processes: &[Process]) {
    let handles: Vec<OwnedFd> = processes.iter().filter_map(|process| process.open()).collect();
    for handle in handles {
        // It may have ended meanwhile.
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}

/// Programs of ours that work in a directory: their working directory or an argument lies there. Other programs that do so, a shell
/// or an editor, belong to somebody.
pub fn at_work_in(directory: &str) -> Vec<Seen> {
    const OURS: [&str; 8] =
        ["tanist", "tanist-guard", "tanist-plugin-h", "tanist-demo-nam", "postgres", "initdb", "pg_basebackup", "pg_rewind"];
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let inside = |path: &str| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    let works = |pid: i32| {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_else(|_| PathBuf::new());
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        inside(&cwd.to_string_lossy()) || line.split(|byte| *byte == 0).any(|argument| inside(&String::from_utf8_lossy(argument)))
    };
    let ours = |seen: &Seen| OURS.contains(&seen.name.as_str()) && !seen.zombie && seen.process.pid != me;
    all().into_iter().filter(|seen| ours(seen) && works(seen.process.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found_below_us_and_killed_and_a_stranger_with_its_pid_would_not_be() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let found = below(me).into_iter().find(|seen| seen.process.pid == pid).expect("the child is below us");
        assert_eq!(found.parent, me);
        kill(&[Process { pid, started: found.process.started + 1 }]);
        assert!(child.try_wait().unwrap().is_none() && found.process.is_alive(), "another start time is another process");
        kill(&[found.process]);
        child.wait().unwrap();
        assert!(!found.process.is_alive());
    }
}
