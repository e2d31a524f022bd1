//! Every process of the demo: started here, reaped here, ended here.
//!
//! This process is a child subreaper: whatever loses its parent comes to it, so "everything below me" is everything the demo ever
//! started, and nothing is a zombie for longer than it takes to notice.

use super::{
    processes::{self, Process},
    remains::Remains,
};
use crate::cli::Failure;
use rustix::process::{WaitOptions, WaitStatus, getpid, set_child_subreaper, wait};
use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Killed processes are gone by then, or the kernel cannot end them.
const END: Duration = Duration::from_secs(20);
/// Lines of a log that are shown when its process failed.
const TAIL: usize = 20;

/// Starts, reaps, ends.
#[derive(Debug)]
pub struct Reaper {
    inner: Mutex<Inner>,
    /// The list of what was started, for a later `--stop`.
    list: PathBuf,
}

#[derive(Debug, Default)]
struct Inner {
    started: Vec<Started>,
    remains: Remains,
}

#[derive(Debug)]
struct Started {
    what: String,
    process: Process,
    log: PathBuf,
    /// The story ends it.
    ours: bool,
    end: Option<String>,
}

impl Reaper {
    /// Becomes a subreaper. `list` is where the started processes are written down.
    pub fn new(list: PathBuf) -> Result<Arc<Self>, Failure> {
        set_child_subreaper(Some(getpid())).map_err(|error| Failure::failed(format!("cannot become a subreaper: {error}")))?;
        Ok(Arc::new(Self { inner: Mutex::default(), list }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program. It gets a process group of its own: Ctrl-C on the terminal is for the demo alone.
    pub fn start(&self, what: &str, log: &Path, mut command: Command) -> Result<Process, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("{what} cannot be started: {error}"));
        let file = File::options().create(true).append(true).open(log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(failed)?).stderr(file);
        command.current_dir("/").process_group(0);
        // Held over the start: a failed start waits for its child, which must not be reaped by another thread meanwhile.
        let mut inner = self.inner();
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().cast_signed();
        // Even a child that has ended is visible until it is reaped, and reaping needs the lock.
        let seen = processes::look(pid).ok_or_else(|| Failure::failed(format!("{what}: /proc does not show process {pid}")))?;
        let process = seen.process;
        inner.started.push(Started { what: what.to_owned(), process, log: log.to_owned(), ours: false, end: None });
        let all: Vec<Process> =
            inner.started.iter().filter(|started| started.end.is_none()).map(|started| started.process).collect();
        let text = serde_json::to_string(&all).map_err(Failure::failed)?;
        std::fs::write(&self.list, text).map_err(|error| Failure::failed(format!("{}: {error}", self.list.display())))?;
        Ok(process)
    }

    /// Reaps whatever is dead.
    fn reap(&self) {
        let mut inner = self.inner();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            if let Some(started) = inner.started.iter_mut().find(|started| started.process.pid == pid && started.end.is_none()) {
                started.end = Some(ending(status));
            }
        }
    }

    /// Reaps whenever something dies.
    pub async fn keep_reaping(self: Arc<Self>) {
        let Ok(mut died) = signal(SignalKind::child()) else { return };
        loop {
            self.reap();
            // One signal may stand for several deaths, and none is missed for long.
            let _ = tokio::time::timeout(Duration::from_millis(200), died.recv()).await;
        }
    }

    /// Fails when a process has ended that the story did not end, and shows the end of its log.
    pub fn check(&self) -> Result<(), Failure> {
        let inner = self.inner();
        let gone = inner.started.iter().find_map(|started| Some((started, started.end.as_ref().filter(|_| !started.ours)?)));
        let Some((started, end)) = gone else { return Ok(()) };
        Err(Failure::failed(format!("{} ended ({end})\n{}", started.what, tail(&started.log))))
    }

    /// The ends of all logs, for a story that stands still.
    pub fn tails(&self) -> String {
        let inner = self.inner();
        let logs: BTreeMap<&Path, &str> =
            inner.started.iter().map(|started| (started.log.as_path(), started.what.as_str())).collect();
        logs.into_iter().map(|(log, what)| format!("{what}, {}\n{}", tail(log), databases(log))).collect()
    }

    /// Notes the shared memory of everything that runs, for it may be killed without our doing.
    pub fn note(&self) {
        let mut inner = self.inner();
        for seen in processes::below(getpid().as_raw_nonzero().get()) {
            inner.remains.note(seen.process.pid);
        }
    }

    /// Kills some processes in one instant. Of those started here, the end counts as the story's.
    pub fn kill(&self, victims: &[Process]) {
        self.note();
        for started in self.inner().started.iter_mut().filter(|started| victims.contains(&started.process)) {
            started.ours = true;
        }
        processes::kill(victims);
    }

    /// Ends everything below this process and removes the shared memory it had. Says so when something cannot be ended.
    pub fn end_all(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            self.reap();
            let left = processes::below(getpid().as_raw_nonzero().get());
            if left.is_empty() {
                break;
            }
            if begun.elapsed() > END {
                let names: Vec<String> = left.iter().map(|seen| format!("{} ({})", seen.process.pid, seen.name)).collect();
                return Err(format!("processes that do not end: {}", names.join(", ")));
            }
            self.note();
            let alive: Vec<Process> = left.iter().filter(|seen| !seen.zombie).map(|seen| seen.process).collect();
            processes::kill(&alive);
            std::thread::sleep(Duration::from_millis(2));
        }
        self.inner().remains.remove();
        Ok(())
    }
}

fn ending(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}

/// What PostgreSQL and its programs said on the node of this log.
fn databases(log: &Path) -> String {
    let state = log.with_file_name("state");
    let logs = ["postgres.log", "basebackup.log", "rewind.log"].map(|name| state.join(name));
    logs.iter().filter(|log| log.is_file()).map(|log| format!("{}\n", tail(log))).collect()
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    format!("last lines of {}:\n  {}", log.display(), last.join("\n  "))
}
