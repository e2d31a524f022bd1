//! Processes as the kernel shows them, and signals to those we started.

use rustix::process::{Pid, Signal, kill_process};
use std::{collections::BTreeSet, fs, path::Path};

/// One line of /proc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// The program's name, at most 15 characters.
    pub name: String,
    /// R, S, D, T (stopped), Z (dead, not reaped), …
    pub state: char,
}

/// One process; `None` when it is gone.
pub fn look(pid: i32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, name, state })
}

/// All of them.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(look).collect()
}

/// `root` and everything below it.
pub fn tree(root: i32) -> Vec<Process> {
    let all = all();
    let mut inside = BTreeSet::from([root]);
    loop {
        let before = inside.len();
        let children: Vec<i32> =
            all.iter().filter(|process| inside.contains(&process.parent)).map(|process| process.pid).collect();
        inside.extend(children);
        if inside.len() == before {
            return all.into_iter().filter(|process| inside.contains(&process.pid)).collect();
        }
    }
}

/// Whether it still runs: a zombie does not.
pub fn is_alive(pid: i32) -> bool {
    look(pid).is_some_and(|process| process.state != 'Z' && process.state != 'X')
}

/// Processes whose working directory is `directory`: every process of a PostgreSQL has its data directory there.
pub fn working_in(directory: &Path) -> Vec<Process> {
    let same = |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory);
    all().into_iter().filter(|process| process.state != 'Z' && same(process.pid)).collect()
}

/// Sends a signal; a process that is gone is not an error.
pub fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a pid");
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("signal {signal:?} to {pid:?}: {error}"),
    }
}

/// SIGSTOP, and a proof that it stands, or is gone: a backend may end while its node is being frozen.
pub fn freeze(pid: i32) {
    signal(pid, Signal::STOP);
    crate::wait::until(&format!("process {pid} stands"), std::time::Duration::from_secs(2), || match look(pid) {
        Some(Process { state: 'T' | 't' | 'Z' | 'X', .. }) | None => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// SIGCONT.
pub fn thaw(pid: i32) {
    signal(pid, Signal::CONT);
}

/// SIGKILL, and a proof that it is gone.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
    crate::wait::until(&format!("process {pid} is dead"), std::time::Duration::from_secs(2), || {
        if is_alive(pid) { Err("it still runs".into()) } else { Ok(()) }
    });
}
