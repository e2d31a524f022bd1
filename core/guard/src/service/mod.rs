//! The guard's loop: one thread, no allocation after the start, and before anything else at every turn: is the deadline over?
//!
//! Files: `options` (command line), `launch` (starting children), `children` (what lives), `requests` (commands), `endings` (what
//! follows from a child's death), `outbox` (reports), `log`.

mod children;
mod endings;
mod launch;
mod log;
mod options;
mod outbox;
mod requests;
mod start;

pub use options::{Options, UsageError, User};
pub use start::{StartError, run};

use crate::{
    budget::budget_ns,
    clock::{MS, Now, SECOND, boot_now_ns},
    fence,
    page::{FenceState, Page},
    protocol::{Exit, FenceCause, MAX_MESSAGE, Report, Request, Status},
    sys::{event, file::FileId, process, socket},
};
use children::Children;
use launch::{Lists, Nursery};
use outbox::Outbox;
use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// Longest time between two turns while armed.
const TURN_ARMED: u64 = 100 * MS;
/// The same while nothing can be writable.
const TURN_IDLE: u64 = 500 * MS;
/// How long the loop waits for the kernel to finish with what it killed, or for the disk to take a mark, before it goes on and reaps
/// later. Nothing is running then that a deadline could be over for.
const REAP_WAIT: u64 = 2 * SECOND;

/// Everything the loop knows.
struct Guard {
    pid: i32,
    data_dir: CString,
    user: Option<User>,
    page: Page,
    page_fd: OwnedFd,
    children: Children,
    outbox: Outbox,
    lists: Lists,
    agent: Agent,
    timer: OwnedFd,
    signals: OwnedFd,
    sessions: u64,
    /// What the data directory was when the postmaster was started.
    home: Option<FileId>,
    found_unguarded: bool,
    stopping: bool,
    /// Set: no agent is left that could stop PostgreSQL; end with this code when it has shut down.
    leaving: Option<u8>,
    /// Set: fence if needed, and end with this code.
    finish: Option<u8>,
}

/// The agent's program, and its connection.
struct Agent {
    argv: Vec<CString>,
    env: Vec<CString>,
    socket: Option<OwnedFd>,
    started: u64,
    restart_at: u64,
    quick_deaths: u32,
    /// The end that was told last, of those that repeat themselves.
    told: Option<Exit>,
}

impl Guard {
    /// Until the agent has ended for good. The exit code.
    fn serve(&mut self) -> u8 {
        let mut packet = vec![0_u8; MAX_MESSAGE].into_boxed_slice();
        loop {
            self.turn();
            if let Some(code) = self.finish {
                self.wind_up();
                return code;
            }
            let [signals, socket] = self.wait();
            if signals {
                self.pass_signals_on();
            }
            if socket && !self.over_and_fenced() {
                self.receive(&mut packet);
            }
        }
    }

    /// The deadline, the dead, the agent, the reports. In this order.
    fn turn(&mut self) {
        self.page.beat_guard(boot_now_ns());
        self.over_and_fenced();
        self.children.reap();
        self.settle();
        self.keep_agent();
        if let Some(agent) = &self.agent.socket
            && !self.outbox.flush(agent.as_fd())
        {
            self.agent.socket = None;
            self.outbox.clear();
        }
    }

    /// If the deadline less the budget has passed on either clock: take it and fence.
    fn over_and_fenced(&mut self) -> bool {
        while let Some(armed) = self.page.arm_view() {
            if armed.left(Now::read(), self.page.budget_ns()) > 0 {
                return false;
            }
            if self.page.take(&armed) {
                log::line(format_args!("the lease of epoch {} is over: fencing", armed.epoch));
                self.fence(FenceCause::Deadline);
                return true;
            }
        }
        false
    }

    /// Wait for something to do; whether signals and the agent's socket are readable.
    fn wait(&mut self) -> [bool; 2] {
        let now = Now::read();
        let mut turn = TURN_IDLE;
        if let Some(armed) = self.page.arm_view() {
            turn = TURN_ARMED.min(armed.left(now, self.page.budget_ns()));
        }
        if self.children.agent.is_none() && self.leaving.is_none() {
            turn = turn.min(self.agent.restart_at.saturating_sub(now.boot));
        }
        // Cannot fail with a valid time; if it did, poll's own time-out wakes us.
        let _ = event::set_timer(self.timer.as_fd(), now.boot + turn);
        let mut interest = 0;
        if self.outbox.has_room() {
            interest |= libc::POLLIN;
        }
        if !self.outbox.is_empty() {
            interest |= libc::POLLOUT;
        }
        let socket = self.agent.socket.as_ref().map(AsRawFd::as_raw_fd);
        let mut fds = [
            event::interest(Some(self.timer.as_raw_fd()), libc::POLLIN),
            event::interest(Some(self.signals.as_raw_fd()), libc::POLLIN),
            event::interest(socket, interest),
        ];
        event::poll(&mut fds, 1000);
        [fds[1].revents != 0, fds[2].revents & !libc::POLLOUT != 0]
    }

    /// SIGTERM and SIGINT are the agent's to carry out; if it does not, the deadline still holds. While there is no agent the guard does
    /// what it can without one: PostgreSQL is shut down in order, and the lease ends by itself. SIGHUP asks the agent to read its
    /// configuration again.
    fn pass_signals_on(&mut self) {
        while let Some(signal) = event::next_signal(self.signals.as_fd()) {
            match (signal, self.children.agent) {
                (libc::SIGCHLD, _) | (libc::SIGHUP, None) => continue,
                (libc::SIGHUP, Some(agent)) => {
                    process::signal(agent, libc::SIGHUP);
                    continue;
                }
                (_, Some(agent)) => {
                    process::signal(agent, libc::SIGTERM);
                }
                (_, None) => self.leave(0),
            }
            self.stopping = true;
        }
    }

    /// One command.
    fn receive(&mut self, packet: &mut [u8]) {
        let Some(agent) = &self.agent.socket else { return };
        match socket::receive(agent.as_fd(), packet) {
            // Closed. Its exit is reported by the kernel.
            Ok(0) => self.agent.socket = None,
            Ok(len) => match packet.get(..len).and_then(Request::decode) {
                Some(request) => self.obey(&request),
                None => self.refuse(0, crate::protocol::Refusal::Malformed),
            },
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            Err(_) => self.agent.socket = None,
        }
    }

    /// Fence, whatever runs, and report it.
    fn fence(&mut self, cause: FenceCause) {
        self.page.set_fence_state(FenceState::Running);
        self.children.kill_jobs(false);
        let postmaster = self.children.living_postmaster().map(|postmaster| postmaster.pid);
        let target = fence::Target {
            data_dir: &self.data_dir,
            postmaster,
            child: true,
            home: self.home,
            spare: self.children.agent.unwrap_or(0),
        };
        let (children, page) = (&mut self.children, &self.page);
        let mut tick = || {
            page.beat_guard(boot_now_ns());
            // The postmaster is reaped only after the scan: until then its number is certain.
        };
        let fenced = fence::run(&target, &mut tick);
        let until = boot_now_ns() + REAP_WAIT;
        children.reap();
        while children.fenced_unreaped() && boot_now_ns() < until {
            event::nap(MS);
            page.beat_guard(boot_now_ns());
            children.reap();
        }
        // The page first: the lease is given up on it, and the mark needs a disk that may be what the fence is for.
        let counter = self.page.record_fence(fenced.signalled_ns, fenced.complete_ns);
        self.set_budget();
        self.mark_standby();
        log::line(format_args!(
            "fence {counter} ({cause:?}) complete: {} processes, signalled in {} ms, gone in {} ms",
            fenced.killed,
            fenced.signalled_ns / MS,
            fenced.complete_ns / MS
        ));
        self.outbox.push(Report::Fenced { counter, cause, signalled_ns: fenced.signalled_ns, complete_ns: fenced.complete_ns });
    }

    /// Leave `standby.signal` behind, by a child that may wait for the disk; the guard waits for it no longer than a moment.
    fn mark_standby(&mut self) {
        if self.children.marker.is_none() {
            match Self::nursery(self.user.as_ref(), self.pid, &self.data_dir).standby_mark() {
                Ok(pid) => self.children.marker = Some(pid),
                Err(error) => log::line(format_args!("cannot create standby.signal (do not start PostgreSQL by hand): {error}")),
            }
        }
        let until = boot_now_ns() + REAP_WAIT;
        while self.children.marker.is_some() && boot_now_ns() < until {
            event::nap(MS);
            self.page.beat_guard(boot_now_ns());
            self.children.reap();
        }
        if self.children.marker.is_some() {
            log::line(format_args!("the data directory's storage hangs: standby.signal is created when it answers"));
        }
    }

    fn set_budget(&self) {
        self.page.set_budget(budget_ns(self.sessions, self.page.longest_fence(), self.page.ttl_ns()));
    }

    fn status(&self) -> Report {
        let postmaster = self.children.living_postmaster().map(|postmaster| (postmaster.job, postmaster.pid));
        let mut status = Status::new(postmaster, self.page.fence_state(), self.found_unguarded);
        self.children.remaining_jobs().for_each(|job| status.push(job.status));
        Report::Status(status)
    }

    fn nursery<'a>(user: Option<&'a User>, guard: i32, data_dir: &'a CStr) -> Nursery<'a> {
        Nursery { user, guard, data_dir }
    }
}
