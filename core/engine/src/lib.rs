//! The failover engine: what a node does next, as a pure function.
//!
//! [`decide()`] takes the operator's [`Policy`], what this node remembers ([`Memory`]), what it sees ([`Observation`]) and the
//! present [`Moment`], and returns a [`Decision`]: effects to carry out, the typed [`Reason`] for them, what to remember, and
//! when to be asked again at the latest. [`audit()`] is a second, independent opinion on a decision.
//!
//! Deliberately absent: clock, I/O, async, randomness, panics, and any wire format.

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod action;
mod audit;
mod decide;
mod decision;
mod epoch;
mod event;
mod face;
pub mod failsafe;
mod lease;
mod lease_clock;
mod memory;
mod moment;
mod observation;
mod policy;
mod position;
mod postgres;
mod reason;
mod recorded;
mod step;
mod storage;
mod text;

pub use action::{Action, Job, StartAs, StopMode, Upstream};
pub use audit::{Violation, audit};
pub use decide::{decide, decide_from};
pub use decision::Decision;
pub use epoch::{Epoch, Revision};
pub use event::{Callback, Emission, Role};
pub use face::{Face, MemberFace, MemberState};
pub use failsafe::{Failsafe, Named};
pub use lease::{Held, Lease, Theirs};
pub use lease_clock::{Attempt, HolderClock, ObserverClock, Reading, holder_term, observer_patience};
pub use memory::{Chosen, Marked, Memory, SwitchoverProgress, SyncTarget};
pub use moment::Moment;
pub use observation::{
    Armed, DataMark, Endpoint, FenceState, Guard, Handoff, JobOutcome, JobReport, Member, MemberName, Observation, Peer,
    PeerAnswer, Promise, Promised, RunningJob, StoreView, Switchover, SyncState, TimelineClaim,
};
pub use policy::{Diverged, Policy, SyncMode, Tags};
pub use position::{Lsn, Position, Timeline};
pub use postgres::{Connection, Postgres, Running, ServerRole, StandbySeen, Stopped, SyncNames, WriteProof};
pub use reason::Reason;
pub use recorded::{Difference, Recorded};
pub use step::{CloneWhy, FenceCause, PromoteStep, Refusal, RestartStep, StopStep, SyncStep};
pub use storage::{Storage, StorageSeen};
pub use text::Text;
