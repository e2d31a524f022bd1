//! What can happen, and in which process.

use crate::model::{
    broker::Outcome,
    guard::Permit,
    patroni::Step,
    plugins::Attempt,
    store::{Answer, Snap, Txn},
    wal::Seg,
};
use std::rc::Rc;
use tanist_engine::{Action, Epoch, JobOutcome, Moment, Peer, Postgres, StopMode, SyncNames, Upstream, failsafe::Ask};

/// A process of a node. All of them stand still while the node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// The agent.
    Agent,
    /// The guard.
    Guard,
    /// All processes of PostgreSQL.
    Postgres,
}

/// The three processes.
pub const PROCESSES: [Process; 3] = [Process::Agent, Process::Guard, Process::Postgres];

/// A command of the agent to the guard.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the guard's protocol")]
pub enum Command {
    Arm(Permit),
    Disarm,
    Fence,
    Start { job: u64, primary: Option<Epoch>, upstream: Option<Upstream>, names: SyncNames, replaced: bool },
    Promote { job: u64, epoch: Epoch, timeline: u32 },
    Stop { job: u64, mode: StopMode },
    Writer { job: u64, copy_of: Option<usize>, rewinds: bool, names: SyncNames },
    KillJobs,
}

/// Something inside PostgreSQL.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Inside {
    Up,
    Exhausted,
    Promoted { epoch: Epoch, timeline: u32 },
    Stopped,
    Connect,
    Arrive { from: usize, connection: u64, sent: Vec<Seg>, upto: u64 },
    Flushed { by: usize, connection: u64, flushed: u64 },
    Lost { connection: u64 },
    Left { connection: u64 },
    Silent { standby: usize, connection: u64 },
    NamesInForce,
    Checkpointed,
    Write,
}

/// Something that happens to a node, in one of its processes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Local {
    Answer { call: u64, answer: Answer },
    Timeout,
    Retry { call: u64 },
    Shown { watch: u32, snap: Rc<Snap> },
    Relist { watch: u32 },
    Wake { wake: u64 },
    Nudge { turns: u64 },
    Storage,
    KeepAlive,
    Look { look: u64 },
    Found { begun: Moment, found: Box<Postgres> },
    EffectEnded { effect: usize, done: bool },
    Proof { epoch: Epoch },
    Confirmed,
    Peer(Box<Peer>),
    Asked { from: usize, ask: Box<Ask> },
    Voted { round: u64, by: usize, refused: Option<String> },
    RoundEnds { round: u64 },
    Work { job: u64 },
    JobEnded { job: u64, outcome: JobOutcome },
    Watchdog { look: u64 },
    OwnFence { stage: u8, dead_guard: bool },
    Deliver,
    Delivered { number: u64, attempt: Attempt },
    Call,
    Called { number: Option<u64>, outcome: Outcome },
    HostUp,
    Effects(Vec<Action>),
    Exit { dead_guard: bool },
    Command(Box<Command>),
    GuardLook { look: u64 },
    Fenced { complete: bool, began: u64 },
    PostmasterEnded,
    PromoteFile { job: u64, epoch: Epoch, timeline: u32 },
    Inside(Inside),
}

impl Local {
    /// The process in which it happens.
    pub fn process(&self) -> Process {
        match self {
            Self::PostmasterEnded
            | Self::Command(_)
            | Self::GuardLook { .. }
            | Self::Fenced { .. }
            | Self::PromoteFile { .. } => Process::Guard,
            Self::Inside(_) => Process::Postgres,
            _ => Process::Agent,
        }
    }
}

/// An event.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Event {
    /// In a process of this life.
    Local {
        node: usize,
        life: u32,
        what: Local,
    },
    /// A request reaches the store.
    Arrive {
        node: usize,
        life: u32,
        call: u64,
        txn: Box<Txn>,
    },
    /// A message from another node arrives at whatever runs there.
    Message {
        node: usize,
        what: Box<Local>,
    },
    /// A program that writes the data directory ends.
    WriterEnds {
        node: usize,
        job: u64,
    },
    Expire,
    Patroni(Step),
    Begin(usize),
    End(usize),
    StartGuard {
        node: usize,
    },
    StartAgent {
        node: usize,
    },
    /// An agent that was stopped before an effect goes on.
    Thaw {
        node: usize,
    },
    Heal,
    Calm,
    Check,
}
