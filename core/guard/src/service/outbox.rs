//! Reports that wait for the agent to read. Bounded: commands are only read while there is room for what they may cause.

use crate::{
    protocol::{MAX_REPORT, Report},
    sys::socket,
};
use std::os::fd::BorrowedFd;

const ROOM: usize = 64;
/// Reports that children and one command can cause at most before the next command is read.
const RESERVE: usize = 32;

/// First in, first out.
pub(super) struct Outbox {
    ring: [Option<Report>; ROOM],
    first: usize,
    count: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { ring: [None; ROOM], first: 0, count: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// There is room for what another command may cause.
    pub(super) fn has_room(&self) -> bool {
        self.count + RESERVE <= ROOM
    }

    /// The agent is gone: the next one gets a fresh status.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(super) fn push(&mut self, report: Report) {
        // Cannot be full: see `has_room`. If it were, the status of the page and of the next connection still tell the truth.
        if self.count < ROOM {
            self.ring[(self.first + self.count) % ROOM] = Some(report);
            self.count += 1;
        }
    }

    /// Send as much as the socket takes. False: the agent has closed it.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> bool {
        let mut buffer = [0; MAX_REPORT];
        while let Some(report) = self.ring[self.first].filter(|_| self.count > 0) {
            let Some(len) = report.encode(&mut buffer) else { return true };
            match socket::send(socket, &buffer[..len]) {
                Ok(()) => {}
                Err(error) => return matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS)),
            }
            self.first = (self.first + 1) % ROOM;
            self.count -= 1;
        }
        true
    }
}
