//! What follows when a child has ended: the fence after a postmaster, the signal after a promote file, a new agent after an agent.
//!
//! An agent that ends with 2 or 3 (its configuration cannot be obeyed, something is missing or taken) ends the service with it, so that
//! whoever started it sees the code; but not while PostgreSQL runs. What the agent cannot read now it could read when PostgreSQL was
//! started, and a file that is half edited is no reason to fence: the agent is tried again until it runs or the deadline is over.

use super::{Guard, MS, REAP_WAIT, SECOND, boot_now_ns, event, log};
use crate::{
    client::GIVES_UP,
    page::FenceState,
    protocol::{Exit, FenceCause, Refusal, Report, StopMode},
    sys::{process, socket},
};
use std::io;

/// Pause before the second quick restart; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: u64 = 100 * MS;
const MAX_PAUSE: u64 = 2 * SECOND;
/// An agent that crashes and lived no longer than this has died quickly.
const QUICK_CRASH: u64 = SECOND;
/// The same for one that ends with a message: it may have waited for others before.
const QUICK_REFUSAL: u64 = 10 * SECOND;
/// The guard's own code when the agent gives up: who started the service is not to start it again.
const NOT_AGAIN: u8 = 2;

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
        self.finish = self.finish.or(self.leaving);
        self.outbox.push(Report::PostmasterExited { job: postmaster.job, stop: postmaster.stop, exit });
    }

    fn settle_jobs(&mut self) {
        for index in 0..self.children.jobs.len() {
            let Some((job, exit)) = self.children.take_ended(index) else { continue };
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
            Exit::Code(GIVES_UP) => self.finish = Some(NOT_AGAIN),
            Exit::Code(code @ 1..=9) if self.stopping => self.leave(code as u8),
            Exit::Code(2 | 3) if self.children.living_postmaster().is_some() => self.restart_refusing_agent(end),
            Exit::Code(code @ 1..=9) => self.finish = Some(code as u8),
            _ if self.stopping => self.leave(1),
            _ => {
                let pause = self.pause(QUICK_CRASH, 1);
                self.forget_refusals();
                log::line(format_args!("the agent ended ({end}); starting it again in {} ms", pause / MS));
            }
        }
    }

    /// The agent says itself why it ended, where that is news; so is what becomes of PostgreSQL.
    fn restart_refusing_agent(&mut self, end: Exit) {
        if self.agent.told.replace(end) != Some(end) {
            log::line(format_args!(
                "the agent ended ({end}), its message says why; PostgreSQL goes on, a primary until its lease ends, and the agent is \
                 started again until it runs"
            ));
        }
        self.pause(QUICK_REFUSAL, 0);
    }

    /// From now on an end is news again, whatever it says.
    fn forget_refusals(&mut self) {
        self.agent.told = None;
        self.page.forget_complaint();
    }

    fn agent_was_quick(&self, quick: u64) -> bool {
        boot_now_ns().saturating_sub(self.agent.started) < quick
    }

    /// When the next agent is started: the first `free` quick ends cost no time. The pause in nanoseconds.
    fn pause(&mut self, quick: u64, free: u32) -> u64 {
        self.agent.quick_deaths = if self.agent_was_quick(quick) { self.agent.quick_deaths.saturating_add(1) } else { 0 };
        let pause = match self.agent.quick_deaths.checked_sub(free + 1) {
            None => 0,
            Some(deaths) => (FIRST_PAUSE << deaths.min(10)).min(MAX_PAUSE),
        };
        self.agent.restart_at = boot_now_ns() + pause;
        pause
    }

    /// End without an agent, with this code: after an orderly shutdown where PostgreSQL runs. The deadline holds meanwhile, and a second
    /// request is for those who do not want to wait.
    pub(super) fn leave(&mut self, code: u8) {
        let again = self.leaving.replace(code).is_some();
        if again || !self.children.stop_postmaster(0, StopMode::Fast) {
            self.finish = Some(code);
            return;
        }
        log::line(format_args!("asked to stop, and no agent runs: shutting PostgreSQL down; the lease ends by itself"));
    }

    /// Start the agent if it should run and does not.
    pub(super) fn keep_agent(&mut self) {
        if self.agent.told.is_some() && self.children.agent.is_some() && !self.agent_was_quick(QUICK_REFUSAL) {
            self.forget_refusals();
            log::line(format_args!("the agent runs again"));
        }
        let unwanted = self.finish.or(self.leaving).is_some();
        if self.children.agent.is_some() || unwanted || boot_now_ns() < self.agent.restart_at {
            return;
        }
        self.agent.started = boot_now_ns();
        let started = socket::pair().and_then(|(ours, theirs)| {
            if !self.lists.set(self.agent.argv.iter().map(AsRef::as_ref), self.agent.env.iter().map(AsRef::as_ref)) {
                return Err(io::Error::from_raw_os_error(libc::E2BIG));
            }
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
        while self.children.remaining_jobs().next().is_some() && boot_now_ns() < until {
            event::nap(MS);
            self.children.reap();
        }
    }
}
