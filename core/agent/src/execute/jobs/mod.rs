//! The long jobs: at most one runs per node. Every program that writes the data directory is run by the guard.
//!
//! A job is plain sequential code; only its outcome goes back to the engine. Files are written on blocking threads: a stalled disk
//! holds the job up, never the loop.

mod bootstrap;
mod checkpoint;
mod clone;
mod follow;
mod post_bootstrap;
mod promise;
mod promote;
mod rewind;
mod start;
mod stop;

use super::Tools;
use crate::links::{GuardError, PromiseError};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};
use tanist_engine::{Epoch, Job, JobOutcome, Observation, Policy, SyncNames};
use tanist_guard::protocol::Program;
use tanist_postgres::{
    Command, ConfigureError, LayoutError, LocksError, PlanError, SessionError, Settings, SettingsError, SkipError, sql::SqlError,
};

/// How much of the end of a log is read.
const TAIL: u64 = 2048;

/// Why a job failed. The text goes to log, REST and `explain`.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The guard, or a program it ran.
    #[error("{0}")]
    Guard(#[from] GuardError),
    /// The data directory.
    #[error("{0}")]
    Layout(#[from] LayoutError),
    /// The lock files of a server that is gone.
    #[error("{0}")]
    Locks(#[from] LocksError),
    /// A command could not be made.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// The configuration could not be written.
    #[error("{0}")]
    Configure(#[from] ConfigureError),
    /// A value that PostgreSQL cannot take.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// A session.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// A change of the running server.
    #[error("{0}")]
    Sql(#[from] SqlError),
    /// The history files of timelines that are passed over.
    #[error("{0}")]
    Skip(#[from] SkipError),
    /// What was promised, or cannot be.
    #[error("{0}")]
    Promise(#[from] PromiseError),
    /// The record of the data directory's identity.
    #[error("tanist.state_dir: {0}")]
    Directory(std::io::Error),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Tools {
    pub(super) async fn run_job(&self, job: &Job, seen: &Observation, policy: &Policy, names: SyncNames) -> JobOutcome {
        let outcome = match job {
            Job::Bootstrap => self.bootstrap(names).await,
            Job::Clone { from } => self.clone_from(from).await,
            Job::Rewind { from } => self.rewind(from, &names).await,
            Job::Start(how) => self.start(how, names, seen.directory_replaced).await,
            Job::Promote { epoch, timeline } => self.promote(*epoch, *timeline, seen).await,
            Job::Stop(mode) => self.stop(*mode, policy).await,
            Job::Promise { epoch, to } => self.promise(*epoch, to.clone(), names).await,
            Job::Follow(upstream) => self.follow(upstream, &names).await,
            Job::Checkpoint => self.checkpoint().await,
            Job::PostBootstrap => self.post_bootstrap().await,
        };
        self.postgres.probe_now();
        match outcome {
            Ok(()) => JobOutcome::Done,
            Err(error) => JobOutcome::Failed(error.to_string()),
        }
    }

    /// Runs a command of the database driver to its end.
    async fn run_writer(&self, command: Command) -> Result<(), JobError> {
        let command = blocking(move || command.prepare().map(|()| command)).await??;
        let ended = self.guard.run_writer(program(&command)).await;
        let log = command.log_file.clone();
        let users = if command.program.ends_with("pg_rewind") { "rewind (else superuser)" } else { "replication" };
        blocking(move || command.clean_up()).await??;
        match ended {
            Err(error @ GuardError::Ended { .. }) => {
                Err(JobError::Other(match blocking(move || last_words(&log, users)).await? {
                    Some(words) => format!("{error}: {words}"),
                    None => error.to_string(),
                }))
            }
            ended => Ok(ended?),
        }
    }
}

impl Tools {
    /// The settings of a server that follows somebody: with the slot, where there is one.
    fn slotted(&self) -> Arc<Settings> {
        let settings = self.postgres.settings();
        match self.slots.own() {
            None => settings,
            slot => Arc::new(Settings { slot, ..(*settings).clone() }),
        }
    }

    /// The data directory is one that this node has made itself.
    async fn own_directory(&self) -> Result<(), JobError> {
        let directory = self.directory.clone();
        blocking(move || directory.adopt()).await?.map_err(JobError::Directory)
    }
}

impl Tools {
    /// This node leads with this epoch, and will follow nobody below it. Nothing waits for the disk: what is lost with a crash in this very
    /// moment matters only to a store that is restored afterwards.
    fn remember(&self, epoch: Epoch) {
        let (promise, me) = (self.promise.clone(), self.settings.name.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = promise.raise(epoch, Some(&me)) {
                tracing::warn!("{error}");
            }
        });
    }
}

/// A command in the guard's form.
fn program(command: &Command) -> Program {
    let arguments = command.argv.iter().skip(1).map(Into::into);
    Program {
        argv: std::iter::once(command.program.clone().into_os_string()).chain(arguments).collect(),
        env: command.env.iter().map(|(key, value)| (key.into(), value.into())).collect(),
        cwd: command.cwd.clone(),
        log: command.log_file.clone(),
    }
}

/// What a program said last: the end of its log, as one line. A refused login gets the key that has the password of these `users`.
fn last_words(log: &Path, users: &str) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let lines = || tail.lines().map(str::trim).filter(|line| !line.is_empty());
    // libpq adds where the password came from; what went wrong is in the line before.
    let last = lines().rfind(|line| line.contains("error: ") || line.contains("FATAL: ")).or_else(|| lines().next_back())?;
    let refused = last.contains("authentication failed") || last.contains("no pg_hba.conf entry");
    let remedy = match refused {
        true => format!("; correct postgresql.authentication.{users} here, or pg_hba at the leader"),
        false => String::new(),
    };
    Some(format!("{last}{remedy}"))
}

/// Runs what may wait for a disk on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JobError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| JobError::Other(error.to_string()))
}
