//! Commands and reports between agent and guard: one message per packet of a seqpacket socket, at most [`MAX_MESSAGE`] bytes.
//!
//! Little-endian, by hand. Every message begins with the version and a tag. Strings carry their length and end with a NUL, so that
//! the guard executes a program straight out of the received packet, without allocating. Decoding checks everything and never panics.

mod command;
mod fit;
mod report;
mod request;
pub(crate) mod wire;

pub use command::{Command, EncodeError, JobKind, Program, StopMode};
pub use report::{Exit, FenceCause, JobStatus, MAX_JOBS, Refusal, Report, Status};
pub use request::{ProgramRef, Request, Strings};

/// Longest message.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Version of the protocol; both ends refuse another.
pub const VERSION: u16 = 1;
/// Longest report.
pub const MAX_REPORT: usize = 1024;

/// Tags of the messages.
mod tag {
    pub(super) const SPAWN: u16 = 1;
    pub(super) const ARM: u16 = 2;
    pub(super) const DISARM: u16 = 3;
    pub(super) const START: u16 = 4;
    // 5 was a promotion that did not say which timeline it opens.
    pub(super) const STOP: u16 = 6;
    pub(super) const FENCE: u16 = 7;
    pub(super) const SESSIONS: u16 = 8;
    pub(super) const KILL_JOB: u16 = 9;
    pub(super) const CLAIMED: u16 = 10;
    pub(super) const PROMOTE: u16 = 11;
    pub(super) const STATUS: u16 = 101;
    pub(super) const SPAWNED: u16 = 102;
    pub(super) const EXITED: u16 = 103;
    pub(super) const POSTMASTER_EXITED: u16 = 104;
    pub(super) const FENCED: u16 = 105;
    pub(super) const REFUSED: u16 = 106;
    pub(super) const ARMED: u16 = 107;
    pub(super) const DISARMED: u16 = 108;
}
