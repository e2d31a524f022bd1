//! Commands of the agent: what is allowed when. Refusing is always safe; carrying out checks the page first.

use super::{
    Guard,
    children::{Job, Postmaster},
    launch::Prepare,
};
use crate::{
    budget::budget_ns,
    clock::Now,
    page::{Deadline, FenceState},
    protocol::{FenceCause, JobKind, JobStatus, ProgramRef, Refusal, Report, Request},
    sys::file,
};

impl Guard {
    pub(super) fn obey(&mut self, request: &Request<'_>) {
        match *request {
            Request::Spawn { job, kind, ref program } => self.spawn(job, kind, program),
            Request::Arm { epoch, deadline_boot, deadline_raw, ttl } => self.arm(epoch, deadline_boot, deadline_raw, ttl),
            Request::Disarm => self.disarm(),
            Request::StartPostgres { job, ref program, primary_epoch } => self.start_postgres(job, program, primary_epoch),
            Request::Claimed { epoch, timeline } => {
                if !self.page.claim(epoch, timeline) {
                    self.refuse(0, Refusal::ClaimedBefore);
                }
            }
            Request::Promote { job, epoch, timeline } => self.promote(job, epoch, timeline),
            Request::Stop { job, mode } => {
                if !self.children.stop_postmaster(job, mode) {
                    self.refuse(job, Refusal::NoPostmaster);
                }
            }
            Request::Fence => {
                self.page.take_any();
                self.fence(FenceCause::Requested);
            }
            Request::Sessions { count } => {
                self.sessions = u64::from(count);
                self.set_budget();
            }
            Request::KillJob { job } => {
                if !self.children.kill_job(job) {
                    self.refuse(job, Refusal::UnknownJob);
                }
            }
        }
    }

    pub(super) fn refuse(&mut self, job: u64, reason: Refusal) {
        self.outbox.push(Report::Refused { job, reason });
    }

    /// Whether something may become writable for this epoch now.
    pub(super) fn permit(&self, epoch: u64) -> Result<(), Refusal> {
        match self.page.deadline() {
            Deadline::Unarmed | Deadline::Fenced => Err(Refusal::NotArmed),
            Deadline::Armed(armed) if armed.epoch != epoch => Err(Refusal::WrongEpoch),
            Deadline::Armed(armed) if armed.left(Now::read(), self.page.budget_ns()) == 0 => Err(Refusal::NoTimeLeft),
            Deadline::Armed(_) => Ok(()),
        }
    }

    fn arm(&mut self, epoch: u64, boot: u64, raw: u64, ttl: u64) {
        if epoch < self.page.epoch() {
            return self.refuse(0, Refusal::StaleEpoch);
        }
        let (now, budget) = (Now::read(), budget_ns(self.sessions, self.page.longest_fence(), ttl));
        if boot.saturating_sub(budget) <= now.boot || raw.saturating_sub(budget) <= now.raw || ttl == 0 {
            return self.refuse(0, Refusal::NoTimeLeft);
        }
        self.page.arm(epoch, boot, raw, ttl);
        self.page.set_budget(budget);
        self.outbox.push(Report::Armed { epoch });
    }

    fn disarm(&mut self) {
        if self.children.postmaster.is_some_and(|postmaster| postmaster.may_be_writable) {
            return self.refuse(0, Refusal::MayBeWritable);
        }
        self.page.disarm();
        self.outbox.push(Report::Disarmed);
    }

    /// What holds for every new process; fills the lists that it is executed from.
    fn admit(&mut self, job: u64, writer: bool, program: &ProgramRef<'_>) -> Result<(), Refusal> {
        if self.children.knows(job) {
            return Err(Refusal::DuplicateJob);
        }
        if writer && (self.children.writer_runs() || self.children.end_marker()) {
            return Err(Refusal::WriterRuns);
        }
        if self.lists.set_program(program) { Ok(()) } else { Err(Refusal::TooManyStrings) }
    }

    fn spawn(&mut self, job: u64, kind: JobKind, program: &ProgramRef<'_>) {
        if let Err(reason) = self.admit(job, kind == JobKind::Writer, program) {
            return self.refuse(job, reason);
        }
        let Some(slot) = self.children.free_slot() else { return self.refuse(job, Refusal::TooManyJobs) };
        let nursery = Self::nursery(self.user.as_ref(), self.pid, &self.data_dir);
        match nursery.program(&self.lists, Prepare::Nothing, libc::SIGKILL, program.cwd, program.log) {
            Ok(pid) => {
                *slot = Some(Job::new(JobStatus { job, pid, kind }, None));
                self.outbox.push(Report::Spawned { job, pid });
            }
            Err(_) => self.refuse(job, Refusal::ForkFailed),
        }
    }

    fn start_postgres(&mut self, job: u64, program: &ProgramRef<'_>, primary_epoch: Option<u64>) {
        let admitted = self.admit(job, true, program).and_then(|()| primary_epoch.map_or(Ok(()), |epoch| self.permit(epoch)));
        if let Err(reason) = admitted {
            return self.refuse(job, reason);
        }
        if primary_epoch.is_none() && self.page.deadline() == Deadline::Fenced {
            // Before `Complete` is cleared: see `client::Look`.
            self.page.disarm();
        }
        self.page.set_fence_state(FenceState::Open);
        self.home = file::id(&self.data_dir).ok();
        let prepare = if primary_epoch.is_some() { Prepare::Primary } else { Prepare::Standby };
        let nursery = Self::nursery(self.user.as_ref(), self.pid, &self.data_dir);
        // When the guard dies PostgreSQL shuts down immediately: SIGKILL would leave backends that go on without a postmaster.
        match nursery.program(&self.lists, prepare, libc::SIGQUIT, &self.data_dir, program.log) {
            Ok(pid) => {
                let may_be_writable = primary_epoch.is_some();
                self.children.postmaster = Some(Postmaster { job, pid, may_be_writable, stop: None, end: None });
                self.page.set_postmaster(Some(pid));
                self.outbox.push(Report::Spawned { job, pid });
            }
            Err(_) => {
                self.page.set_fence_state(FenceState::Complete);
                self.refuse(job, Refusal::ForkFailed);
            }
        }
    }

    /// The file first, by a child (a slow disk must not stop the guard); the signal when it is there, if the permission still holds.
    /// PostgreSQL looks for the file at any SIGUSR1, so that its creation counts as the promotion.
    fn promote(&mut self, job: u64, epoch: u64, timeline: u32) {
        let permitted = match self.children.living_postmaster() {
            None => Err(Refusal::NoPostmaster),
            Some(_) if self.children.knows(job) => Err(Refusal::DuplicateJob),
            Some(_) => self.permit(epoch).and_then(|()| match self.page.claimed() == Some((epoch, timeline)) {
                true => Ok(()),
                false => Err(Refusal::NotClaimed),
            }),
        };
        if let Err(reason) = permitted {
            return self.refuse(job, reason);
        }
        let Some(slot) = self.children.free_slot() else { return self.refuse(job, Refusal::TooManyJobs) };
        match Self::nursery(self.user.as_ref(), self.pid, &self.data_dir).promote_file() {
            Ok(pid) => {
                *slot = Some(Job::new(JobStatus { job, pid, kind: JobKind::Helper }, Some(epoch)));
                if let Some(postmaster) = &mut self.children.postmaster {
                    postmaster.may_be_writable = true;
                }
                self.outbox.push(Report::Spawned { job, pid });
            }
            Err(_) => self.refuse(job, Refusal::ForkFailed),
        }
    }
}
