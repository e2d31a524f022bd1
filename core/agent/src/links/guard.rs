//! The link to the guard: commands out, reports in.

use super::jobs::{JobNews, Jobs, Order};
use crate::run::{Fact, Facts};
use rustix::fd::{AsRawFd, RawFd};
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};
use tanist_engine::Postgres;
use tanist_guard::{
    client::{Connection, SendError},
    page::{FenceState, Page},
    protocol::{Command, Exit, JobKind, Program, Refusal, Report, StopMode},
};
use tokio::{io::unix::AsyncFd, sync::mpsc};

/// So long the loop is not told of a command that the guard refused.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// The agent's end of the guard. Cheap to clone.
#[derive(Clone)]
pub struct GuardLink(Arc<Inner>);

struct Inner {
    connection: Connection,
    jobs: Mutex<Jobs>,
    next_job: AtomicU64,
    /// The fence that this agent carried out itself, because the guard could not: 0 none, 1 running, 2 complete.
    own_fence: AtomicU8,
    /// The guard's fence counter when the own fence began.
    own_fence_at: AtomicU64,
}

/// Why something could not be had from the guard.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The command did not reach it.
    #[error("{0}")]
    Send(#[from] SendError),
    /// It said no.
    #[error("the guard refused: {0}")]
    Refused(Refusal),
    /// The program ended badly.
    #[error("{program} ended with {exit}; see {log}")]
    Ended {
        /// Which program.
        program: String,
        /// How.
        exit: Exit,
        /// Where its output is.
        log: String,
    },
    /// It stands still, and there is no server any more that the order was for.
    #[error("the guard did not answer, and this agent has fenced PostgreSQL in its place")]
    Fenced,
    /// The link was closed meanwhile.
    #[error("the guard is gone")]
    Gone,
}

/// Follows one job.
pub struct JobWatch {
    link: GuardLink,
    job: u64,
    news: mpsc::UnboundedReceiver<JobNews>,
}

impl GuardLink {
    /// Over an open connection.
    pub fn new(connection: Connection) -> Self {
        Self(Arc::new(Inner {
            connection,
            jobs: Mutex::default(),
            // Numbers of an earlier agent's jobs may still be reported: boot time keeps them apart.
            next_job: AtomicU64::new(crate::run::clock::now().as_nanos()),
            own_fence: AtomicU8::new(0),
            own_fence_at: AtomicU64::new(0),
        }))
    }

    /// The shared page.
    pub fn page(&self) -> &Page {
        self.0.connection.page()
    }

    /// The postmaster that lives; a guard that stands still cannot take one out of the page that this agent has fenced.
    pub fn postmaster(&self) -> Option<i32> {
        self.page().postmaster().filter(|_| !self.has_fenced())
    }

    /// The connection, for the watch thread.
    pub fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// How far the newest fence is, whoever carries it out.
    pub fn fence_state(&self) -> FenceState {
        match self.0.own_fence.load(Ordering::SeqCst) {
            1 if self.has_fenced() => FenceState::Running,
            2 if self.has_fenced() => FenceState::Complete,
            _ => self.page().fence_state(),
        }
    }

    /// The newest fence is this agent's own: the guard has not finished one since.
    pub fn has_fenced(&self) -> bool {
        let newer = self.page().fence_counter() > self.0.own_fence_at.load(Ordering::SeqCst);
        self.0.own_fence.load(Ordering::SeqCst) != 0 && !newer
    }

    /// The agent fences by itself.
    pub fn own_fence_begins(&self) {
        self.0.own_fence_at.store(self.page().fence_counter(), Ordering::SeqCst);
        self.0.own_fence.store(1, Ordering::SeqCst);
    }

    /// The agent's own fence is complete.
    pub fn own_fence_complete(&self) {
        self.0.own_fence.store(2, Ordering::SeqCst);
    }

    /// Ends the waits for what the agent's own fence has made an end of: the guard may not answer for long. To be called when that fence is
    /// complete; `dead`: the postmaster on the page, if it was seen to have ended.
    pub fn end_waits(&self, dead: Option<i32>) {
        self.jobs().fenced(dead);
    }

    /// The guard has carried out something since this agent fenced in its place: what its page says counts again. A guard that had nothing
    /// left to reap does not count a fence of its own.
    fn guard_is_back(&self) {
        let _another_fence_runs = self.0.own_fence.compare_exchange(2, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Sends a command without waiting for anything.
    pub fn send(&self, command: &Command) -> Result<(), GuardError> {
        Ok(self.0.connection.send(command)?)
    }

    /// Runs a program that writes the data directory, to its end.
    pub async fn run_writer(&self, program: Program) -> Result<(), GuardError> {
        let (name, log) = (program_name(&program), program.log.display().to_string());
        let program = fitted(program);
        let mut watch = self.begin(Order::Write, |job| Command::Spawn { job, kind: JobKind::Writer, program })?;
        match watch.end().await? {
            Exit::Code(0) => Ok(()),
            exit => Err(GuardError::Ended { program: name, exit, log }),
        }
    }

    /// Starts the postmaster; returns when its process runs.
    pub async fn start_postgres(&self, program: Program, primary_epoch: Option<u64>) -> Result<(), GuardError> {
        let program = fitted(program);
        let order = Order::Start { before: self.page().postmaster() };
        let mut watch = self.begin(order, |job| Command::StartPostgres { job, program, primary_epoch })?;
        watch.spawned().await
    }

    /// Tells PostgreSQL to promote to a timeline that was claimed; returns when it was told.
    pub async fn promote(&self, epoch: u64, timeline: u32) -> Result<(), GuardError> {
        let mut watch = self.begin(Order::Change, |job| Command::Promote { job, epoch, timeline })?;
        match watch.end().await? {
            Exit::Code(0) => Ok(()),
            exit => Err(GuardError::Ended { program: "promotion".into(), exit, log: "the guard's log".into() }),
        }
    }

    /// Stops PostgreSQL; returns when nothing of it is left.
    pub async fn stop_postgres(&self, mode: StopMode) -> Result<(), GuardError> {
        let mut watch = self.begin(Order::Change, |job| Command::Stop { job, mode })?;
        match watch.end().await {
            Ok(_) => Ok(()),
            // Nothing runs: that is what was wanted.
            Err(GuardError::Refused(Refusal::NoPostmaster)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn begin(&self, order: Order, command: impl FnOnce(u64) -> Command) -> Result<JobWatch, GuardError> {
        let job = self.0.next_job.fetch_add(1, Ordering::Relaxed);
        let news = self.jobs().wait(job, order);
        let watch = JobWatch { link: self.clone(), job, news };
        // Asked after the wait is known: a fence that completes from here on ends it.
        if order == Order::Change && self.has_fenced() && self.fence_state() == FenceState::Complete {
            return Err(GuardError::Fenced);
        }
        self.send(&command(job))?;
        Ok(watch)
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, job: u64, news: JobNews) {
        self.jobs().tell(job, news);
    }

    /// Reads reports until the guard is gone, and turns them into facts.
    pub async fn read_reports(self, facts: Facts) -> io::Result<()> {
        #[expect(deprecated, reason = "the safe form; the descriptor lives as long as the link that is registered")]
        let readable = AsyncFd::new(Readable(self.0.clone()))?;
        loop {
            let mut ready = readable.readable().await?;
            loop {
                match self.0.connection.try_recv() {
                    Ok(Some(report)) => self.dispatch(report, &facts),
                    Ok(None) => break,
                    Err(error) => {
                        // The watch thread sees the guard's death by itself and acts on it.
                        tracing::error!(%error, "no more reports of the guard");
                        self.jobs().clear();
                        return Ok(());
                    }
                }
            }
            ready.clear_ready();
        }
    }

    fn dispatch(&self, report: Report, facts: &Facts) {
        tracing::debug!(?report, "guard");
        match report {
            Report::Status(status) => {
                if status.found_unguarded {
                    tracing::warn!("a PostgreSQL without a guard was found in the data directory and has been fenced");
                }
                for left in status.jobs() {
                    tracing::warn!(pid = left.pid, "a job of an agent before this one still runs; it is ended");
                    if let Err(error) = self.send(&Command::KillJob { job: left.job }) {
                        tracing::error!(%error, pid = left.pid, "the job could not be ended");
                    }
                }
            }
            Report::Spawned { job, .. } => {
                // Of a job whose wait a fence has ended it is a late answer: the guard began it before the fence.
                if self.jobs().knows(job) {
                    self.guard_is_back();
                }
                self.tell(job, JobNews::Spawned);
            }
            Report::Exited { job, exit } => self.tell(job, JobNews::Exited(exit)),
            Report::PostmasterExited { job, stop, exit } => {
                tracing::info!(%exit, ordered = stop.is_some(), "PostgreSQL has ended");
                // First the fact, then whoever waits for the stop: what he does next must not meet the old state.
                facts.tell(Fact::PostgresChanged(Postgres::Unknown));
                self.tell(job, JobNews::Exited(exit));
                if let Some(stop) = stop {
                    self.tell(stop, JobNews::Exited(exit));
                }
            }
            Report::Fenced { counter, cause, signalled_ns, complete_ns } => {
                let (signalled_ms, complete_ms) = (signalled_ns / 1_000_000, complete_ns / 1_000_000);
                tracing::warn!(counter, ?cause, signalled_ms, complete_ms, "PostgreSQL was fenced");
                facts.tell(Fact::PostgresChanged(Postgres::Unknown));
            }
            // Nothing has changed: what the loop wants it asks for again, and not as fast as it is refused.
            Report::Refused { job: 0, reason } => {
                tracing::warn!(%reason, "the guard refused a command");
                let facts = facts.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(AFTER_REFUSAL).await;
                    facts.tell(Fact::Guard);
                });
                return;
            }
            Report::Refused { job, reason } => self.tell(job, JobNews::Refused(reason)),
            Report::Armed { .. } => self.guard_is_back(),
            Report::Disarmed => {}
        }
        facts.tell(Fact::Guard);
    }
}

impl JobWatch {
    async fn spawned(&mut self) -> Result<(), GuardError> {
        match self.news.recv().await {
            Some(JobNews::Spawned) => Ok(()),
            Some(JobNews::Refused(reason)) => Err(GuardError::Refused(reason)),
            Some(JobNews::Exited(exit)) => {
                Err(GuardError::Ended { program: "postgres".into(), exit, log: "PostgreSQL's log".into() })
            }
            Some(JobNews::Fenced) => Err(GuardError::Fenced),
            None => Err(GuardError::Gone),
        }
    }

    async fn end(&mut self) -> Result<Exit, GuardError> {
        loop {
            match self.news.recv().await {
                Some(JobNews::Spawned) => {}
                Some(JobNews::Exited(exit)) => return Ok(exit),
                Some(JobNews::Refused(reason)) => return Err(GuardError::Refused(reason)),
                Some(JobNews::Fenced) => return Err(GuardError::Fenced),
                None => return Err(GuardError::Gone),
            }
        }
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        self.link.jobs().forget(self.job);
    }
}

/// The program as it can be sent: in a pod with many services their variables alone are longer than a message.
fn fitted(mut program: Program) -> Program {
    let dropped = program.fit();
    if dropped > 0 {
        tracing::warn!(
            dropped,
            program = program_name(&program),
            "the environment is larger than the guard passes on: variables of Kubernetes' services are left out; \
             set enableServiceLinks: false in the pod"
        );
    }
    program
}

fn program_name(program: &Program) -> String {
    let path = program.argv.first().map(std::path::Path::new);
    path.and_then(|path| path.file_name()).map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The connection's descriptor, for the runtime's poll.
struct Readable(Arc<Inner>);

impl AsRawFd for Readable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.connection.as_fd().as_raw_fd()
    }
}
