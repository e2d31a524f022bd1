//! The guard's children: agent, postmaster, jobs, and the one that marks the data directory. Reaping notes how they ended; what follows
//! from it is decided elsewhere.

use super::{SECOND, boot_now_ns, log};
use crate::{
    protocol::{Exit, JobKind, JobStatus, MAX_JOBS, StopMode},
    sys::process,
};

/// How long the kernel gets to be done with what is left of a writer's group. What it holds longer never comes back to its program.
const GROUP_WAIT: u64 = 10 * SECOND;

/// The postmaster.
#[derive(Clone, Copy)]
pub(super) struct Postmaster {
    /// The job that started it.
    pub(super) job: u64,
    pub(super) pid: i32,
    /// It was started as primary, or told to promote.
    pub(super) may_be_writable: bool,
    /// The newest stop command.
    pub(super) stop: Option<u64>,
    /// It is dead and reaped.
    pub(super) end: Option<Exit>,
}

/// A job.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) status: JobStatus,
    /// It prepares a promotion for this epoch.
    pub(super) promotes: Option<u64>,
    /// Its process is dead and reaped.
    pub(super) end: Option<Exit>,
    /// When nobody waits any longer for the rest of its group, boot nanoseconds.
    patience_ends: u64,
}

/// All of them.
pub(super) struct Children {
    pub(super) agent: Option<i32>,
    pub(super) agent_end: Option<Exit>,
    pub(super) postmaster: Option<Postmaster>,
    pub(super) jobs: [Option<Job>; MAX_JOBS],
    /// Leaves `standby.signal` behind; it may wait for the disk for long.
    pub(super) marker: Option<i32>,
}

impl Children {
    pub(super) fn new() -> Self {
        Self { agent: None, agent_end: None, postmaster: None, jobs: [None; MAX_JOBS], marker: None }
    }

    /// Reap whatever is dead, our own and inherited orphans.
    pub(super) fn reap(&mut self) {
        while let Some(pid) = process::dead_child() {
            if self.living_jobs().any(|job| job.status.pid == pid && job.status.kind == JobKind::Writer) {
                // What it has started writes the data directory too. All at once, and while the group's number is certain.
                process::signal_group(pid, libc::SIGKILL);
            }
            let Some(end) = process::reap(pid) else { return };
            let end = end.map_or_else(Exit::Signal, Exit::Code);
            if self.agent == Some(pid) {
                self.agent = None;
                self.agent_end = Some(end);
            } else if self.marker == Some(pid) {
                self.marker = None;
            } else if let Some(postmaster) = self.postmaster.as_mut().filter(|p| p.pid == pid && p.end.is_none()) {
                postmaster.end = Some(end);
            } else if let Some(job) = self.jobs.iter_mut().flatten().find(|job| job.status.pid == pid && job.end.is_none()) {
                (job.end, job.patience_ends) = (Some(end), boot_now_ns() + GROUP_WAIT);
            }
        }
    }

    /// The postmaster, while it is not reaped.
    pub(super) fn living_postmaster(&self) -> Option<Postmaster> {
        self.postmaster.filter(|postmaster| postmaster.end.is_none())
    }

    /// Jobs that are not reaped.
    pub(super) fn living_jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().flatten().filter(|job| job.end.is_none())
    }

    /// The end of the job in this place, which is then free: a writer has ended when its whole group has.
    pub(super) fn take_ended(&mut self, place: usize) -> Option<(Job, Exit)> {
        let job = self.jobs[place].filter(|job| !job.remains())?;
        let exit = job.end?;
        if job.group_lives() {
            log::line(format_args!(
                "what a job (pid {}) has started hangs in the kernel: not waiting for it any longer",
                job.status.pid
            ));
        }
        self.jobs[place] = None;
        Some((job, exit))
    }

    /// Jobs of which something is not reaped yet.
    pub(super) fn remaining_jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().flatten().filter(|job| job.remains())
    }

    /// Something that writes the data directory is not reaped, or its end is not settled yet.
    pub(super) fn writer_runs(&self) -> bool {
        self.postmaster.is_some() || self.jobs.iter().flatten().any(|job| job.status.kind == JobKind::Writer)
    }

    /// A marker that still waits for the disk would write into what is about to be started: it is ended. True: it has to be waited for.
    pub(super) fn end_marker(&self) -> bool {
        self.marker.map(|marker| process::signal(marker, libc::SIGKILL)).is_some()
    }

    /// Something the fence killed is not reaped yet.
    pub(super) fn fenced_unreaped(&self) -> bool {
        self.living_postmaster().is_some() || self.remaining_jobs().any(Job::is_fenced)
    }

    /// The number belongs to a job or to the postmaster's start.
    pub(super) fn knows(&self, number: u64) -> bool {
        self.postmaster.is_some_and(|postmaster| postmaster.job == number)
            || self.jobs.iter().flatten().any(|job| job.status.job == number)
    }

    /// A place for one more job.
    pub(super) fn free_slot(&mut self) -> Option<&mut Option<Job>> {
        self.jobs.iter_mut().find(|slot| slot.is_none())
    }

    /// Kill jobs with their process groups: all, or only those a fence ends.
    pub(super) fn kill_jobs(&self, all: bool) {
        self.living_jobs().filter(|job| all || job.is_fenced()).for_each(Job::kill);
    }

    /// Kill one job; false: there is no such job. What remains of one that has ended is killed already, and its end is still reported.
    pub(super) fn kill_job(&self, number: u64) -> bool {
        let Some(job) = self.jobs.iter().flatten().find(|job| job.status.job == number) else { return false };
        if job.end.is_none() {
            job.kill();
        }
        true
    }

    /// Tell the postmaster to stop.
    pub(super) fn stop_postmaster(&mut self, job: u64, mode: StopMode) -> bool {
        let Some(postmaster) = self.postmaster.as_mut().filter(|postmaster| postmaster.end.is_none()) else { return false };
        postmaster.stop = Some(job);
        let signal = match mode {
            StopMode::Fast => libc::SIGINT,
            StopMode::Immediate => libc::SIGQUIT,
        };
        process::signal(postmaster.pid, signal)
    }
}

impl Job {
    pub(super) fn new(status: JobStatus, promotes: Option<u64>) -> Self {
        Self { status, promotes, end: None, patience_ends: 0 }
    }

    /// A process of it is not reaped, and still worth waiting for.
    fn remains(&self) -> bool {
        self.end.is_none() || (self.group_lives() && boot_now_ns() < self.patience_ends)
    }

    /// Its process is reaped, others of a writer's group are not.
    fn group_lives(&self) -> bool {
        self.status.kind == JobKind::Writer && process::group_lives(self.status.pid)
    }

    fn kill(&self) {
        process::signal_group(self.status.pid, libc::SIGKILL);
        // A job that has not come to setsid yet has no group.
        process::signal(self.status.pid, libc::SIGKILL);
    }

    /// A fence ends it: it writes the data directory, or is about to make a standby writable.
    fn is_fenced(&self) -> bool {
        self.status.kind == JobKind::Writer || self.promotes.is_some()
    }
}
