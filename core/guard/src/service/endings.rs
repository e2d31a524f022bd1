//! What follows when a child has ended: the fence after a postmaster, the signal after a promote file, a new agent after an agent.

use super::{Guard, MS, REAP_WAIT, SECOND, boot_now_ns, event, log};
use crate::{
    page::FenceState,
    protocol::{Exit, FenceCause, Refusal, Report},
    sys::{process, socket},
};

/// Pause before the second quick restart; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: u64 = 100 * MS;
const MAX_PAUSE: u64 = 2 * SECOND;

impl Guard {
    /// Deal with every end that reaping noted.
    pub(super) fn settle(&mut self) {
        self.settle_postmaster();
        self.settle_jobs();
        if let Some(end) = self.children.agent_end.take() {
            self.agent.socket = None;
            self.outbox.clear();
            self.settle_agent(end);
        }
    }

    fn settle_postmaster(&mut self) {
        let Some((postmaster, exit)) = self.children.postmaster.and_then(|postmaster| Some((postmaster, postmaster.end?))) else {
            return;
        };
        let orderly = postmaster.stop.is_some() && exit == Exit::Code(0);
        if orderly && self.page.fence_state() == FenceState::Open {
            // Nothing of it is left: the postmaster waits for all its children.
            self.page.set_fence_state(FenceState::Complete);
            self.mark_standby();
        } else if self.page.fence_state() != FenceState::Complete {
            log::line(format_args!("the postmaster ended ({exit}) without having been stopped in order"));
            self.fence(FenceCause::PostmasterDied);
        }
        self.children.postmaster = None;
        self.page.set_postmaster(None);
        self.outbox.push(Report::PostmasterExited { job: postmaster.job, stop: postmaster.stop, exit });
    }

    fn settle_jobs(&mut self) {
        for index in 0..self.children.jobs.len() {
            let Some((job, exit)) = self.children.jobs[index].and_then(|job| Some((job, job.end?))) else { continue };
            self.children.jobs[index] = None;
            let promotes = job.promotes.filter(|_| exit == Exit::Code(0));
            match promotes.map_or(Ok(()), |epoch| self.signal_promotion(epoch)) {
                Ok(()) => self.outbox.push(Report::Exited { job: job.status.job, exit }),
                Err(reason) => self.refuse(job.status.job, reason),
            }
        }
    }

    fn signal_promotion(&mut self, epoch: u64) -> Result<(), Refusal> {
        let Some(postmaster) = self.children.living_postmaster() else { return Err(Refusal::NoPostmaster) };
        // Not permitted any more: the deadline is over, and the fence, which removes the file, is the next thing that runs.
        self.permit(epoch)?;
        process::signal(postmaster.pid, libc::SIGUSR1);
        Ok(())
    }

    fn settle_agent(&mut self, end: Exit) {
        match end {
            Exit::Code(0) => self.finish = Some(0),
            Exit::Code(code @ 1..=9) => self.finish = Some(code as u8),
            _ if self.stopping => self.finish = Some(1),
            _ => {
                let now = boot_now_ns();
                let quick = now.saturating_sub(self.agent.started) < SECOND;
                self.agent.quick_deaths = if quick { self.agent.quick_deaths + 1 } else { 0 };
                let pause = match self.agent.quick_deaths {
                    0 | 1 => 0,
                    deaths => (FIRST_PAUSE << (deaths - 2).min(10)).min(MAX_PAUSE),
                };
                self.agent.restart_at = now + pause;
                log::line(format_args!("the agent ended ({end}); starting it again in {} ms", pause / MS));
            }
        }
    }

    /// Start the agent if it should run and does not.
    pub(super) fn keep_agent(&mut self) {
        if self.children.agent.is_some() || self.finish.is_some() || boot_now_ns() < self.agent.restart_at {
            return;
        }
        self.agent.started = boot_now_ns();
        let started = socket::pair().and_then(|(ours, theirs)| {
            self.lists.set(self.agent.argv.iter().map(AsRef::as_ref), self.agent.env.iter().map(AsRef::as_ref));
            let nursery = Self::nursery(self.user.as_ref(), self.pid, &self.data_dir);
            Ok((nursery.agent(&self.lists, &self.page_fd, &theirs)?, ours))
        });
        match started {
            Ok((pid, ours)) => {
                self.children.agent = Some(pid);
                self.agent.socket = Some(ours);
                self.outbox.clear();
                self.outbox.push(self.status());
            }
            Err(error) => {
                log::line(format_args!("cannot start the agent: {error}; trying again"));
                self.agent.restart_at = boot_now_ns() + MAX_PAUSE;
            }
        }
    }

    /// The last turn: nothing of PostgreSQL, and no job, stays behind.
    pub(super) fn wind_up(&mut self) {
        self.children.reap();
        if self.children.writer_runs() {
            log::line(format_args!("the agent has ended and PostgreSQL, or a job that writes its data directory, runs: fencing"));
            self.page.take_any();
            self.fence(FenceCause::AgentEnded);
        }
        self.children.kill_jobs(true);
        let until = boot_now_ns() + REAP_WAIT;
        while self.children.living_jobs().next().is_some() && boot_now_ns() < until {
            event::nap(MS);
            self.children.reap();
        }
    }
}
