//! What the guard tells the agent.

use super::{JobKind, VERSION, tag, wire::Reader, wire::Writer};
use crate::page::FenceState;
use std::fmt;

/// Jobs that may live at once, besides the postmaster.
pub const MAX_JOBS: usize = 16;

/// A report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time exists, and the guard allocates nothing")]
pub enum Report {
    /// The first report on every connection. A job that is not in it has ended.
    Status(Status),
    /// A job's process, or the postmaster, was started.
    Spawned {
        /// Which.
        job: u64,
        /// Its process.
        pid: i32,
    },
    /// A job ended. Codes 125–127 come from before the program ran: preparation failed, the guard was gone, no such program.
    Exited {
        /// Which.
        job: u64,
        /// How.
        exit: Exit,
    },
    /// The postmaster is gone and nothing of it is left.
    PostmasterExited {
        /// The job that started it.
        job: u64,
        /// The newest stop command it got.
        stop: Option<u64>,
        /// How it ended.
        exit: Exit,
    },
    /// A fence is complete.
    Fenced {
        /// Its number since the guard's start.
        counter: u64,
        /// Why.
        cause: FenceCause,
        /// Until every signal was sent, nanoseconds.
        signalled_ns: u64,
        /// Until nothing was left, nanoseconds.
        complete_ns: u64,
    },
    /// A command was not carried out.
    Refused {
        /// Its job; 0 for commands without one.
        job: u64,
        /// Why.
        reason: Refusal,
    },
    /// The guard is armed for this epoch.
    Armed {
        /// Which.
        epoch: u64,
    },
    /// The guard is not armed any more.
    Disarmed,
}

/// What lives under the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The postmaster: its start job and its process.
    pub postmaster: Option<(u64, i32)>,
    /// State of the fence.
    pub fence: FenceState,
    /// A PostgreSQL that no guard held was found at the guard's start, and fenced.
    pub found_unguarded: bool,
    jobs: [JobStatus; MAX_JOBS],
    count: usize,
}

/// A living job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// Its number.
    pub job: u64,
    /// Its process.
    pub pid: i32,
    /// Its kind.
    pub kind: JobKind,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Why a fence ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceCause {
    /// The deadline less the budget was reached.
    Deadline,
    /// The agent asked.
    Requested,
    /// The postmaster ended without having been stopped in order.
    PostmasterDied,
    /// A PostgreSQL without a guard was found at the guard's start.
    Unguarded,
    /// The agent ended and left PostgreSQL running.
    AgentEnded,
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a message of this version.
    Malformed,
    /// A writer of the data directory lives, or is not reaped yet.
    WriterRuns,
    /// Not armed.
    NotArmed,
    /// Armed for another epoch.
    WrongEpoch,
    /// Armed, but the deadline less the budget has passed; or the deadline asked for has.
    NoTimeLeft,
    /// An epoch lower than one armed before.
    StaleEpoch,
    /// No postmaster runs.
    NoPostmaster,
    /// Disarm: a PostgreSQL that may be writable runs.
    MayBeWritable,
    /// [`MAX_JOBS`] jobs live.
    TooManyJobs,
    /// The job's number is in use.
    DuplicateJob,
    /// No such job.
    UnknownJob,
    /// The process could not be made.
    ForkFailed,
    /// More arguments or variables than the guard passes on.
    TooManyStrings,
    /// Promote: this timeline is not the one that was claimed for this epoch.
    NotClaimed,
    /// Claimed: another timeline was claimed for this epoch, or one for a later epoch.
    ClaimedBefore,
}

const REFUSALS: [(Refusal, &str); 15] = [
    (Refusal::Malformed, "not a message of this version"),
    (Refusal::WriterRuns, "another writer of the data directory runs"),
    (Refusal::NotArmed, "the guard is not armed"),
    (Refusal::WrongEpoch, "the guard is armed for another epoch"),
    (Refusal::NoTimeLeft, "no time is left before the deadline"),
    (Refusal::StaleEpoch, "a higher epoch was armed before"),
    (Refusal::NoPostmaster, "no postmaster runs"),
    (Refusal::MayBeWritable, "PostgreSQL runs and may be writable"),
    (Refusal::TooManyJobs, "too many jobs run"),
    (Refusal::DuplicateJob, "a job of this number runs"),
    (Refusal::UnknownJob, "no job of this number runs"),
    (Refusal::ForkFailed, "no process could be made"),
    (
        Refusal::TooManyStrings,
        "too many arguments or variables; start the service with fewer (Kubernetes: enableServiceLinks: false)",
    ),
    (Refusal::NotClaimed, "the timeline is not claimed for this epoch"),
    (Refusal::ClaimedBefore, "another timeline was claimed for this epoch, or one for a later epoch"),
];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REFUSALS.iter().find(|(refusal, _)| refusal == self).map_or("refused", |(_, text)| text))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

const CAUSES: [FenceCause; 5] =
    [FenceCause::Deadline, FenceCause::Requested, FenceCause::PostmasterDied, FenceCause::Unguarded, FenceCause::AgentEnded];

impl Status {
    /// A status without jobs.
    pub fn new(postmaster: Option<(u64, i32)>, fence: FenceState, found_unguarded: bool) -> Self {
        let none = JobStatus { job: 0, pid: 0, kind: JobKind::Helper };
        Self { postmaster, fence, found_unguarded, jobs: [none; MAX_JOBS], count: 0 }
    }

    /// Add a job; those beyond [`MAX_JOBS`] are left out.
    pub fn push(&mut self, job: JobStatus) {
        if let Some(room) = self.jobs.get_mut(self.count) {
            *room = job;
            self.count += 1;
        }
    }

    /// The living jobs.
    pub fn jobs(&self) -> &[JobStatus] {
        &self.jobs[..self.count]
    }
}

impl Report {
    /// Write the message; `None`: the buffer is too small ([`super::MAX_REPORT`] is enough for all).
    pub fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut w = Writer::new(buffer);
        w.u16(VERSION);
        match self {
            Self::Status(status) => {
                w.u16(tag::STATUS);
                w.option(status.postmaster.map(|(job, _)| job));
                w.i32(status.postmaster.map_or(0, |(_, pid)| pid));
                w.u8(fence_byte(status.fence));
                w.u8(u8::from(status.found_unguarded));
                w.u8(status.count as u8);
                for job in status.jobs() {
                    w.u64(job.job);
                    w.i32(job.pid);
                    w.u8(u8::from(job.kind == JobKind::Helper));
                }
            }
            Self::Spawned { job, pid } => {
                w.u16(tag::SPAWNED);
                w.u64(*job);
                w.i32(*pid);
            }
            Self::Exited { job, exit } => {
                w.u16(tag::EXITED);
                w.u64(*job);
                exit.encode(&mut w);
            }
            Self::PostmasterExited { job, stop, exit } => {
                w.u16(tag::POSTMASTER_EXITED);
                w.u64(*job);
                w.option(*stop);
                exit.encode(&mut w);
            }
            Self::Fenced { counter, cause, signalled_ns, complete_ns } => {
                w.u16(tag::FENCED);
                w.u64(*counter);
                w.u8(CAUSES.iter().position(|known| known == cause)? as u8);
                w.u64(*signalled_ns);
                w.u64(*complete_ns);
            }
            Self::Refused { job, reason } => {
                w.u16(tag::REFUSED);
                w.u64(*job);
                w.u8(REFUSALS.iter().position(|(known, _)| known == reason)? as u8);
            }
            Self::Armed { epoch } => {
                w.u16(tag::ARMED);
                w.u64(*epoch);
            }
            Self::Disarmed => w.u16(tag::DISARMED),
        }
        w.finish()
    }

    /// Read one packet; `None`: not a report of this version.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let mut r = Reader::new(packet);
        if r.u16()? != VERSION {
            return None;
        }
        let report = match r.u16()? {
            tag::STATUS => Self::Status(read_status(&mut r)?),
            tag::SPAWNED => Self::Spawned { job: r.u64()?, pid: r.i32()? },
            tag::EXITED => Self::Exited { job: r.u64()?, exit: Exit::read(&mut r)? },
            tag::POSTMASTER_EXITED => Self::PostmasterExited { job: r.u64()?, stop: r.option()?, exit: Exit::read(&mut r)? },
            tag::FENCED => {
                let counter = r.u64()?;
                let cause = *CAUSES.get(usize::from(r.u8()?))?;
                Self::Fenced { counter, cause, signalled_ns: r.u64()?, complete_ns: r.u64()? }
            }
            tag::REFUSED => Self::Refused { job: r.u64()?, reason: REFUSALS.get(usize::from(r.u8()?))?.0 },
            tag::ARMED => Self::Armed { epoch: r.u64()? },
            tag::DISARMED => Self::Disarmed,
            _ => return None,
        };
        r.end()?;
        Some(report)
    }
}

impl Exit {
    fn encode(self, w: &mut Writer<'_>) {
        let (kind, number) = match self {
            Self::Code(code) => (0, code),
            Self::Signal(signal) => (1, signal),
        };
        w.u8(kind);
        w.i32(number);
    }

    fn read(r: &mut Reader<'_>) -> Option<Self> {
        match (r.u8()?, r.i32()?) {
            (0, code) => Some(Self::Code(code)),
            (1, signal) => Some(Self::Signal(signal)),
            _ => None,
        }
    }
}

fn read_status(r: &mut Reader<'_>) -> Option<Status> {
    let (job, pid) = (r.option()?, r.i32()?);
    let fence = match r.u8()? {
        0 => FenceState::Open,
        1 => FenceState::Running,
        2 => FenceState::Complete,
        _ => return None,
    };
    let found_unguarded = r.u8()? == 1;
    let mut status = Status::new(job.map(|job| (job, pid)), fence, found_unguarded);
    let count = usize::from(r.u8()?);
    if count > MAX_JOBS {
        return None;
    }
    for _ in 0..count {
        let (job, pid) = (r.u64()?, r.i32()?);
        let kind = if r.u8()? == 0 { JobKind::Writer } else { JobKind::Helper };
        status.push(JobStatus { job, pid, kind });
    }
    Some(status)
}

const fn fence_byte(state: FenceState) -> u8 {
    match state {
        FenceState::Open => 0,
        FenceState::Running => 1,
        FenceState::Complete => 2,
    }
}
