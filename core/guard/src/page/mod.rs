//! The page that guard and agent share: one sealed memfd of 64-bit words.
//!
//! The layout is a contract between versions (a running guard outlives an upgraded agent): words are only ever added, and
//! [`VERSION`] changes when a word changes its meaning. Who writes what:
//!
//! | word | name | written by |
//! |---|---|---|
//! | 0, 1 | magic, version | guard, at its start |
//! | 2 | deadline (see [`deadline`]) | guard; the agent extends |
//! | 3–5, 6–8 | the two slots of the deadline: raw deadline, epoch, ttl | as the deadline |
//! | 9 | epoch last armed | guard |
//! | 10 | start nonce | guard, at its start |
//! | 11 | ttl last armed, ns | guard |
//! | 12, 13 | heartbeat of guard, of agent, boot ns | each its own |
//! | 14 | postmaster pid, 0: none | guard |
//! | 15, 16 | state of the fence, completed fences | guard |
//! | 17, 18, 19 | last fence until signalled, until complete; longest until signalled; ns | guard |
//! | 20 | budget, ns | guard |
//! | 21 | guard pid | guard, at its start |
//! | 22 | word of the last deadline (guard's memory, see [`deadline`]) | guard |
//! | 23, 24 | epoch of the last claimed timeline, and its number; 0: none | guard |
//! | 25 | digest of the message that an agent ended with last; 0: none | agent; the guard forgets it |

pub mod deadline;

pub use deadline::{Armed, Deadline, Extend};

use crate::sys::memory::Mapping;
use std::{
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

/// First word of every page.
const MAGIC: u64 = u64::from_le_bytes(*b"tanistpg");
/// Version of the layout.
pub const VERSION: u64 = 1;

const DEADLINE: usize = 2;
const SLOTS: [usize; 2] = [3, 6];
const EPOCH: usize = 9;
const NONCE: usize = 10;
const TTL: usize = 11;
const GUARD_BEAT: usize = 12;
const AGENT_BEAT: usize = 13;
const POSTMASTER: usize = 14;
const FENCE: usize = 15;
const FENCES: usize = 16;
const LAST_SIGNALLED: usize = 17;
const LAST_COMPLETE: usize = 18;
const LONGEST: usize = 19;
const BUDGET: usize = 20;
const GUARD_PID: usize = 21;
const LAST_WORD: usize = 22;
const CLAIM_EPOCH: usize = 23;
const CLAIM_TIMELINE: usize = 24;
const COMPLAINT: usize = 25;

/// How far the newest fence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceState {
    /// PostgreSQL was started since the last fence, or none has run.
    Open,
    /// Signals are being sent.
    Running,
    /// No process that can acknowledge a write is left, and none was started since.
    Complete,
}

/// Why a descriptor is not a page we can use.
#[derive(Debug)]
pub enum PageError {
    /// A system call failed.
    Io(io::Error),
    /// Not a page of a tanist guard.
    NotAPage,
    /// A page of another layout.
    Version(u64),
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot map the guard's page: {error}"),
            Self::NotAPage => f.write_str("the descriptor is not the page of a tanist guard"),
            Self::Version(version) => write!(f, "the guard's page has layout {version}, this program knows {VERSION}"),
        }
    }
}

impl std::error::Error for PageError {}

impl From<io::Error> for PageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The mapped page.
pub struct Page {
    map: Mapping,
    /// One extension at a time in this process: it prepares a slot before it is published.
    extending: Mutex<()>,
}

impl Page {
    /// A new page, for a guard that has just started.
    pub fn create(nonce: u64) -> io::Result<(Self, OwnedFd)> {
        let (map, fd) = Mapping::create(c"tanist-guard")?;
        let page = Self { map, extending: Mutex::new(()) };
        page.set(VERSION_WORD, VERSION);
        page.set(NONCE, nonce);
        page.set(GUARD_PID, u64::from(std::process::id()));
        page.set(0, MAGIC);
        Ok((page, fd))
    }

    /// The page behind a descriptor that a guard passed on.
    pub fn attach(fd: BorrowedFd<'_>) -> Result<Self, PageError> {
        let map = Mapping::attach(fd)?.ok_or(PageError::NotAPage)?;
        let page = Self { map, extending: Mutex::new(()) };
        if page.get(0) != MAGIC {
            return Err(PageError::NotAPage);
        }
        match page.get(VERSION_WORD) {
            VERSION => Ok(page),
            other => Err(PageError::Version(other)),
        }
    }

    /// Random number of the guard's start; lives as long as the guard.
    pub fn nonce(&self) -> u64 {
        self.get(NONCE)
    }

    /// The guard's process.
    pub fn guard_pid(&self) -> i32 {
        i32::try_from(self.get(GUARD_PID)).unwrap_or(0)
    }

    /// The epoch the guard was armed for last; 0: never.
    pub fn epoch(&self) -> u64 {
        self.get(EPOCH)
    }

    /// The timeline that was claimed last, and for which epoch.
    pub fn claimed(&self) -> Option<(u64, u32)> {
        let timeline = u32::try_from(self.get(CLAIM_TIMELINE)).ok().filter(|timeline| *timeline > 0)?;
        Some((self.get(CLAIM_EPOCH), timeline))
    }

    /// Note a claim. False: another one stands for this epoch, or one for a later epoch.
    pub(crate) fn claim(&self, epoch: u64, timeline: u32) -> bool {
        let free = self.claimed().is_none_or(|(known, number)| known < epoch || (known == epoch && number == timeline));
        if free && timeline > 0 {
            self.set(CLAIM_EPOCH, epoch);
            self.set(CLAIM_TIMELINE, u64::from(timeline));
        }
        free && timeline > 0
    }

    /// The lease's ttl it was armed with last, nanoseconds; 0: never.
    pub fn ttl_ns(&self) -> u64 {
        self.get(TTL)
    }

    /// When the guard last ran, boot nanoseconds.
    pub fn guard_heartbeat(&self) -> u64 {
        self.get(GUARD_BEAT)
    }

    /// When the agent last said that it runs, boot nanoseconds.
    pub fn agent_heartbeat(&self) -> u64 {
        self.get(AGENT_BEAT)
    }

    /// The agent runs.
    pub fn beat_agent(&self, now_boot: u64) {
        self.set(AGENT_BEAT, now_boot);
    }

    /// The postmaster, while one lives.
    pub fn postmaster(&self) -> Option<i32> {
        i32::try_from(self.get(POSTMASTER)).ok().filter(|pid| *pid > 0)
    }

    /// How far the newest fence is.
    pub fn fence_state(&self) -> FenceState {
        match self.get(FENCE) {
            0 => FenceState::Open,
            2 => FenceState::Complete,
            // A value we do not know is not a completed fence.
            _ => FenceState::Running,
        }
    }

    /// Fences completed since the guard's start.
    pub fn fence_counter(&self) -> u64 {
        self.get(FENCES)
    }

    /// The last fence: nanoseconds until every signal was sent, and until nothing was left.
    pub fn last_fence(&self) -> (u64, u64) {
        (self.get(LAST_SIGNALLED), self.get(LAST_COMPLETE))
    }

    /// The longest fence until every signal was sent, nanoseconds.
    pub fn longest_fence(&self) -> u64 {
        self.get(LONGEST)
    }

    /// What a fence may take: the guard begins it that long before the deadline. Nanoseconds.
    pub fn budget_ns(&self) -> u64 {
        self.get(BUDGET)
    }

    /// The agent is about to end with a message of this digest. False: PostgreSQL runs, so that agents are started one after the other,
    /// and the one before ended with the same message.
    pub fn complain(&self, digest: u64) -> bool {
        let digest = digest.max(1);
        self.word(COMPLAINT).swap(digest, SeqCst) != digest || self.postmaster().is_none()
    }

    pub(crate) fn forget_complaint(&self) {
        self.set(COMPLAINT, 0);
    }

    pub(crate) fn beat_guard(&self, now_boot: u64) {
        self.set(GUARD_BEAT, now_boot);
    }

    pub(crate) fn set_postmaster(&self, pid: Option<i32>) {
        self.set(POSTMASTER, pid.and_then(|pid| u64::try_from(pid).ok()).unwrap_or(0));
    }

    pub(crate) fn set_fence_state(&self, state: FenceState) {
        let value = match state {
            FenceState::Open => 0,
            FenceState::Running => 1,
            FenceState::Complete => 2,
        };
        self.set(FENCE, value);
    }

    pub(crate) fn set_budget(&self, budget_ns: u64) {
        self.set(BUDGET, budget_ns);
    }

    /// A fence is complete. Returns its number.
    pub(crate) fn record_fence(&self, signalled_ns: u64, complete_ns: u64) -> u64 {
        self.set(LAST_SIGNALLED, signalled_ns);
        self.set(LAST_COMPLETE, complete_ns);
        self.set(LONGEST, self.get(LONGEST).max(signalled_ns));
        let number = self.get(FENCES) + 1;
        self.set(FENCES, number);
        self.set_fence_state(FenceState::Complete);
        number
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.map.words()[index]
    }

    fn get(&self, index: usize) -> u64 {
        self.word(index).load(SeqCst)
    }

    fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, SeqCst);
    }
}

const VERSION_WORD: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_complaint_is_news_only_once() {
        let page = Page::create(1).unwrap().0;
        assert!(page.complain(7) && page.complain(7), "without PostgreSQL nothing is repeated");
        page.set_postmaster(Some(2));
        assert_eq!([7, 8, 8, 7, 0, 0].map(|digest| page.complain(digest)), [false, true, false, true, true, false]);
        page.forget_complaint();
        assert!(page.complain(0));
    }
}
