//! What the agent asks of the guard, as the agent builds it. The guard reads the same message as a [`super::Request`].

use super::{MAX_MESSAGE, VERSION, tag, wire::Writer};
use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

/// A command. `job` numbers are the agent's choice: unique among living jobs, and best never used twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a program.
    Spawn {
        /// Number in the reports.
        job: u64,
        /// Whether it writes the data directory.
        kind: JobKind,
        /// What to run.
        program: Program,
    },
    /// Allow a writable PostgreSQL until the first of the two deadlines. Answer: `Armed` or `Refused` (job 0).
    Arm {
        /// The epoch of the held lease; never lower than one armed before.
        epoch: u64,
        /// End of the lease on CLOCK_BOOTTIME, nanoseconds.
        deadline_boot: u64,
        /// End of the lease on CLOCK_MONOTONIC_RAW, nanoseconds.
        deadline_raw: u64,
        /// The lease's ttl, nanoseconds.
        ttl: u64,
    },
    /// Take the permission back. Refused (job 0) while a PostgreSQL that may be writable runs.
    Disarm,
    /// Start the postmaster.
    StartPostgres {
        /// Number in the reports.
        job: u64,
        /// The server program and its arguments; its working directory is the data directory, whatever the program says.
        program: Program,
        /// `Some`: without `standby.signal`, which the guard removes; only while armed for this epoch. `None`: as a standby; the guard
        /// creates `standby.signal` where it is missing.
        primary_epoch: Option<u64>,
    },
    /// The store has this timeline claimed for this epoch. Noted on the page; a second timeline for the same epoch, or a lower epoch,
    /// is refused (job 0).
    Claimed {
        /// The epoch of the held lease.
        epoch: u64,
        /// The number.
        timeline: u32,
    },
    /// Promote the running standby; only while armed for this epoch, and only to the timeline that was claimed for it. `Exited` with
    /// code 0 means that PostgreSQL was told to.
    Promote {
        /// Number in the reports.
        job: u64,
        /// The epoch of the held lease.
        epoch: u64,
        /// The claimed timeline.
        timeline: u32,
    },
    /// Stop PostgreSQL. The end is reported as `PostmasterExited`.
    Stop {
        /// Number in the reports.
        job: u64,
        /// How.
        mode: StopMode,
    },
    /// Fence now. The deadline is taken, every writer job is killed.
    Fence,
    /// Live sessions, for the budget.
    Sessions {
        /// How many.
        count: u32,
    },
    /// SIGKILL a job with its process group.
    KillJob {
        /// Which.
        job: u64,
    },
}

/// What a job may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// It writes the data directory: nothing else that does may run beside it.
    Writer,
    /// It does not; any number may run.
    Helper,
}

/// PostgreSQL's shutdown modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// SIGINT: roll back, shutdown checkpoint.
    Fast,
    /// SIGQUIT: at once, recovery at the next start.
    Immediate,
}

/// A program with everything it gets. Nothing is inherited from the guard's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Arguments; the first is also the path of the program (with a `/`; no search).
    pub argv: Vec<OsString>,
    /// The complete environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory; empty: `/`.
    pub cwd: PathBuf,
    /// Standard output and error are appended to this file; empty: they are the guard's own standard error.
    pub log: PathBuf,
}

/// Why a command cannot be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// More than [`MAX_MESSAGE`] bytes, or than 65,535 strings.
    TooLong,
    /// A string contains a NUL byte.
    Nul,
    /// No argument at all.
    NoProgram,
}

const TOO_LONG: &str = "the command for the guard is longer than 64 KiB, usually by the service's environment, which is passed on; \
                        start the service with fewer or shorter variables (Kubernetes: enableServiceLinks: false)";

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => TOO_LONG,
            Self::Nul => "an argument or variable for the guard contains a NUL byte",
            Self::NoProgram => "the command for the guard names no program",
        })
    }
}

impl std::error::Error for EncodeError {}

impl Command {
    /// The message.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let mut w = Writer::new(&mut buffer);
        w.u16(VERSION);
        match self {
            Self::Spawn { job, kind, program } => {
                w.u16(tag::SPAWN);
                w.u64(*job);
                w.u8(match kind {
                    JobKind::Writer => 0,
                    JobKind::Helper => 1,
                });
                program.encode(&mut w)?;
            }
            Self::Arm { epoch, deadline_boot, deadline_raw, ttl } => {
                w.u16(tag::ARM);
                [epoch, deadline_boot, deadline_raw, ttl].into_iter().for_each(|value| w.u64(*value));
            }
            Self::Disarm => w.u16(tag::DISARM),
            Self::StartPostgres { job, program, primary_epoch } => {
                w.u16(tag::START);
                w.u64(*job);
                w.option(*primary_epoch);
                program.encode(&mut w)?;
            }
            Self::Claimed { epoch, timeline } => {
                w.u16(tag::CLAIMED);
                w.u64(*epoch);
                w.u32(*timeline);
            }
            Self::Promote { job, epoch, timeline } => {
                w.u16(tag::PROMOTE);
                w.u64(*job);
                w.u64(*epoch);
                w.u32(*timeline);
            }
            Self::Stop { job, mode } => {
                w.u16(tag::STOP);
                w.u64(*job);
                w.u8(match mode {
                    StopMode::Fast => 0,
                    StopMode::Immediate => 1,
                });
            }
            Self::Fence => w.u16(tag::FENCE),
            Self::Sessions { count } => {
                w.u16(tag::SESSIONS);
                w.u32(*count);
            }
            Self::KillJob { job } => {
                w.u16(tag::KILL_JOB);
                w.u64(*job);
            }
        }
        let len = w.finish().ok_or(EncodeError::TooLong)?;
        buffer.truncate(len);
        Ok(buffer)
    }
}

impl Program {
    pub(super) fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.argv.is_empty() {
            return Err(EncodeError::NoProgram);
        }
        string(w, &[self.cwd.as_os_str()])?;
        string(w, &[self.log.as_os_str()])?;
        w.u16(u16::try_from(self.argv.len()).map_err(|_| EncodeError::TooLong)?);
        self.argv.iter().try_for_each(|argument| string(w, &[argument]))?;
        w.u16(u16::try_from(self.env.len()).map_err(|_| EncodeError::TooLong)?);
        self.env.iter().try_for_each(|(key, value)| string(w, &[key, OsStr::new("="), value]))
    }
}

fn string(w: &mut Writer<'_>, parts: &[&OsStr]) -> Result<(), EncodeError> {
    if parts.iter().any(|part| part.as_bytes().contains(&0)) {
        return Err(EncodeError::Nul);
    }
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    w.u32(u32::try_from(len).map_err(|_| EncodeError::TooLong)?);
    parts.iter().for_each(|part| w.bytes(part.as_bytes()));
    w.u8(0);
    Ok(())
}
