//! The agent's end: the connection to the guard that started it, and the watch over that guard.
//!
//! No runtime: the agent waits on [`Connection::as_fd`] with whatever it has, and calls [`Connection::try_recv`] until it is empty.

mod watchdog;

pub use watchdog::{Duty, FenceReason, Look, Watchdog};

use crate::{
    page::{Page, PageError},
    protocol::{Command, EncodeError, MAX_REPORT, Report},
    sys::{process, socket},
};
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

/// Environment variable with the number of the page's descriptor.
pub const PAGE_FD: &str = "TANIST_GUARD_PAGE_FD";
/// Environment variable with the number of the socket's descriptor.
pub const SOCKET_FD: &str = "TANIST_GUARD_SOCKET_FD";
/// Environment variable with the guard's process id.
pub const GUARD_PID: &str = "TANIST_GUARD_PID";
/// Exit code of an agent that must not run on this node, and PostgreSQL neither: the guard fences and ends. Any other code between 1 and
/// 9 does so only where no PostgreSQL runs, or on the way to a stop.
pub const GIVES_UP: i32 = 4;

/// Why there is no connection to a guard.
#[derive(Debug)]
pub enum ConnectError {
    /// The variable is missing or no number: this program was not started by a guard.
    NotUnderGuard(&'static str),
    /// The descriptor named by the variable is not open, or not what it should be.
    Descriptor(&'static str, io::Error),
    /// The page cannot be used.
    Page(PageError),
    /// The guard is gone already.
    GuardGone(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUnderGuard(name) => write!(f, "{name} is not set: the agent is started by tanist-guard, use `tanist run`"),
            Self::Descriptor(name, error) => write!(f, "the descriptor in {name} cannot be used: {error}"),
            Self::Page(error) => error.fmt(f),
            Self::GuardGone(error) => write!(f, "the guard is gone: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Why a command was not sent.
#[derive(Debug)]
pub enum SendError {
    /// It is no message.
    Encode(EncodeError),
    /// The guard does not read (it fences, or is stopped); try again when the descriptor is writable.
    Full,
    /// The guard is gone.
    Closed,
    /// Anything else.
    Io(io::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(f),
            Self::Full => f.write_str("the guard does not read its socket"),
            Self::Closed => f.write_str("the guard is gone"),
            Self::Io(error) => write!(f, "cannot write to the guard: {error}"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a report was not read.
#[derive(Debug)]
pub enum RecvError {
    /// The guard is gone.
    Closed,
    /// A report of another version.
    Malformed,
    /// Anything else.
    Io(io::Error),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the guard is gone"),
            Self::Malformed => f.write_str("the guard sent something this version does not know"),
            Self::Io(error) => write!(f, "cannot read from the guard: {error}"),
        }
    }
}

impl std::error::Error for RecvError {}

/// The connection of an agent to its guard.
pub struct Connection {
    page: Arc<Page>,
    socket: OwnedFd,
    guard: OwnedFd,
    guard_pid: i32,
}

impl Connection {
    /// Take over what the guard passed on. Call it once, before any child is started: both descriptors become close-on-exec.
    pub fn from_env() -> Result<Self, ConnectError> {
        let (page_fd, socket) = (take_fd(PAGE_FD)?, take_fd(SOCKET_FD)?);
        let guard_pid = number(GUARD_PID)?;
        let page = Arc::new(Page::attach(page_fd.as_fd()).map_err(ConnectError::Page)?);
        socket::set_nonblocking(socket.as_fd()).map_err(|error| ConnectError::Descriptor(SOCKET_FD, error))?;
        let guard = process::pidfd(guard_pid).map_err(ConnectError::GuardGone)?;
        // The pid may have been used again between the guard's death and the call above; our parent cannot have been.
        if process::parent() != guard_pid {
            return Err(ConnectError::GuardGone(io::Error::from_raw_os_error(libc::ESRCH)));
        }
        Ok(Self { page, socket, guard, guard_pid })
    }

    /// Readable when a report waits.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A pidfd of the guard: readable when the guard is dead.
    pub fn guard_fd(&self) -> BorrowedFd<'_> {
        self.guard.as_fd()
    }

    /// The guard has not ended. One system call that never waits.
    pub fn guard_alive(&self) -> bool {
        self.guard_lives_for(0)
    }

    /// Waits for the guard's end, for `nanoseconds` at most, rounded up to whole milliseconds. `true`: it has not ended.
    pub fn guard_lives_for(&self, nanoseconds: u64) -> bool {
        let milliseconds = nanoseconds.div_ceil(1_000_000).try_into().unwrap_or(u16::MAX);
        !socket::readable_within(self.guard.as_fd(), milliseconds)
    }

    /// The guard's process.
    pub fn guard_pid(&self) -> i32 {
        self.guard_pid
    }

    /// The shared page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// The shared page, to look at when this connection is gone.
    pub fn shared_page(&self) -> Arc<Page> {
        self.page.clone()
    }

    /// Send one command. Never waits.
    pub fn send(&self, command: &Command) -> Result<(), SendError> {
        let message = command.encode().map_err(SendError::Encode)?;
        match socket::send(self.socket.as_fd(), &message) {
            Ok(()) => Ok(()),
            Err(error) => Err(match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS) => SendError::Full,
                Some(libc::EPIPE | libc::ECONNRESET) => SendError::Closed,
                _ => SendError::Io(error),
            }),
        }
    }

    /// The next report, if one waits.
    pub fn try_recv(&self) -> Result<Option<Report>, RecvError> {
        let mut buffer = [0; MAX_REPORT];
        match socket::receive(self.socket.as_fd(), &mut buffer) {
            Ok(0) => Err(RecvError::Closed),
            Ok(len) => Report::decode(buffer.get(..len).unwrap_or(&[])).map(Some).ok_or(RecvError::Malformed),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => Ok(None),
                Some(libc::ECONNRESET) => Err(RecvError::Closed),
                _ => Err(RecvError::Io(error)),
            },
        }
    }
}

fn number(name: &'static str) -> Result<i32, ConnectError> {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).filter(|n| *n >= 0).ok_or(ConnectError::NotUnderGuard(name))
}

fn take_fd(name: &'static str) -> Result<OwnedFd, ConnectError> {
    let fd = number(name)?;
    process::adopt_fd(fd).map_err(|error| ConnectError::Descriptor(name, error))
}
