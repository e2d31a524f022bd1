//! A state of the small cluster. Everything is finite: ages saturate, versions are renamed after every move.

use super::scope::Scope;
use serde::{Deserialize, Serialize};

/// Ages count ticks; this one means "long ago".
pub const OLD: u8 = 4;
/// The guard fences then.
pub const DEADLINE: u8 = 2;
/// The lease is over for its holder then; for everybody else at `OLD`.
pub const OVER: u8 = 3;
/// Entries of a log from here on open a timeline; below are writes. The tens above it are its number, the ones the epoch that opened it,
/// which PostgreSQL does not know.
const OPENS: u8 = 100;

/// The entry that opens a timeline.
pub fn opening(timeline: u8, epoch: u8) -> u8 {
    OPENS + 10 * timeline + epoch
}

/// The timeline that an entry opens.
pub fn opened(entry: u8) -> Option<u8> {
    entry.checked_sub(OPENS).map(|opened| opened / 10)
}

/// `synchronous_standby_names`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Names {
    Nobody,
    Reserved,
    First(u8),
}

/// `/sync`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sync {
    /// Version.
    pub version: u8,
    /// Its leader.
    pub leader: Option<u8>,
    /// Its standby.
    pub standby: Option<u8>,
}

/// The lease record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Version.
    pub version: u8,
    /// Holder.
    pub holder: u8,
    /// Life of the holder's agent that wrote it.
    pub life: u8,
    /// Epoch.
    pub epoch: u8,
    /// Ticks since the attempt was sent that wrote it.
    pub age: u8,
    /// Given up.
    pub released: bool,
    /// `/sync` as the acquisition read it.
    pub sync: Option<Sync>,
}

/// A claimed timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Number.
    pub timeline: u8,
    /// Epoch.
    pub epoch: u8,
}

/// The store's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Keys {
    /// The lease record.
    pub record: Record,
    /// `/sync`.
    pub sync: Sync,
    /// The face: epoch, node, timeline.
    pub face: (u8, u8, u8),
    /// Claimed timelines.
    pub claims: Vec<Claim>,
    /// Version of the claims.
    pub claims_version: u8,
    /// Hand-over: to whom, of which epoch.
    pub handoff: Option<(u8, u8)>,
}

impl Keys {
    /// As a node keeps them: without the age of the record, for that of the store's own counts.
    pub fn view(&self) -> Self {
        Self { record: Record { age: 0, ..self.record.clone() }, ..self.clone() }
    }
}

/// What a call writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Write {
    Acquire { record: u8, sync: u8 },
    Renew { record: u8, epoch: u8 },
    Release { record: u8, epoch: u8, handoff: Option<u8> },
    Sync { epoch: u8, compared: u8, leader: Option<u8>, standby: Option<u8> },
    Claims { epoch: u8, compared: u8, claims: Vec<Claim> },
    Face { epoch: u8, timeline: u8 },
}

impl Write {
    /// A call of the lease; the others are leader writes.
    pub fn is_lease(&self) -> bool {
        matches!(self, Self::Acquire { .. } | Self::Renew { .. } | Self::Release { .. })
    }
}

/// A call that its node has given up, and that may yet reach the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Call {
    /// From which node.
    pub node: u8,
    /// Life of the agent that sent it.
    pub life: u8,
    /// What it writes.
    pub write: Write,
    /// Ticks since it was sent.
    pub age: u8,
}

/// What the engine remembers, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mind {
    /// Stays out of races, this and the next tick.
    pub stays_out: bool,
    /// Epoch that is being given up.
    pub giving_up: Option<u8>,
    /// Epoch whose release was asked for, and in whose favour.
    pub released: Option<(u8, Option<u8>)>,
    /// The last failure has been answered.
    pub failure_seen: bool,
    /// Epoch under which its data must be copied anew.
    pub must_replace: Option<u8>,
    /// Position with everything acknowledged: names, epoch, entries.
    pub target: Option<(Names, u8, u8)>,
    /// The version that the last write of `/sync` compares.
    pub asked: Option<u8>,
    /// The standby is missed, since before this tick.
    pub missed: Option<(u8, bool)>,
    /// No write of `/sync` of an agent before this one can be open.
    pub clear: bool,
    /// The version of `/sync` that this agent first saw under a lease it found held.
    pub first: Option<u8>,
}

/// The own lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Own {
    /// Epoch.
    pub epoch: u8,
    /// Version of the record.
    pub version: u8,
    /// Ticks since the send of the newest attempt that landed.
    pub age: u8,
    /// `/sync` as the acquisition read it.
    pub sync: Option<Sync>,
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Server {
    Down { clean: bool, was_primary: bool },
    Standby { upstream: Option<(u8, u8)> },
    Opening { epoch: u8, timeline: Option<u8> },
    Primary,
}

/// A long job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Work {
    Standby { upstream: Option<(u8, u8)> },
    Start { epoch: u8 },
    Promote { epoch: u8, timeline: u8 },
    Stop,
    Follow { upstream: (u8, u8) },
    Clone { from: u8, epoch: u8 },
}

impl Work {
    /// Makes a PostgreSQL that may write.
    pub fn opens(self) -> bool {
        matches!(self, Self::Start { .. } | Self::Promote { .. })
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Life of its agent.
    pub life: u8,
    /// The engine's memory.
    pub mind: Mind,
    /// The keys as the watch last showed them.
    pub view: Option<Keys>,
    /// Ticks since the view's record was received.
    pub seen_age: u8,
    /// Its end was confirmed so many ticks ago.
    pub confirmed: Option<u8>,
    /// The own lease.
    pub own: Option<Own>,
    /// An attempt was sent in this tick.
    pub tried: bool,
    /// A lease call, and a leader write, whose answer will not come; given up with the tick.
    pub waits: (bool, bool),
    /// The agent stands still.
    pub frozen: bool,
    /// Nothing goes between this node and the store.
    pub cut: bool,
    /// The machine is down.
    pub down: bool,
    /// Peers were asked in this tick.
    pub asked: bool,
    /// The guard: epoch and ticks since the send that its deadline counts from.
    pub armed: Option<(u8, u8)>,
    /// A fence is complete.
    pub fenced: bool,
    /// The server.
    pub server: Server,
    /// Its log.
    pub log: Vec<u8>,
    /// Names in force, and those on their way.
    pub names: (Names, Option<Names>),
    /// The epoch it was proved writable under.
    pub proof: Option<u8>,
    /// Commits that wait.
    pub waiting: Vec<u8>,
    /// The running job.
    pub work: Option<Work>,
    /// The last one, and whether it was done.
    pub worked: Option<(Work, bool)>,
}

impl Node {
    /// The present timeline.
    pub fn timeline(&self) -> u8 {
        self.log.iter().rev().find_map(|entry| opened(*entry)).unwrap_or(1)
    }

    /// Its agent takes turns.
    pub fn runs(&self) -> bool {
        !(self.frozen || self.down)
    }

    /// Its agent hears of the store.
    pub fn hears(&self) -> bool {
        self.runs() && !self.cut
    }
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// The store.
    pub keys: Keys,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Calls that may land late.
    pub calls: Vec<Call>,
    /// Writes so far.
    pub writes: u8,
    /// Acknowledged ones that are promised.
    pub acknowledged: Vec<u8>,
    /// Nodes that were leaders of `/sync`, as bits.
    pub synchronous: u8,
    /// Faults so far.
    pub faults: u8,
}

impl State {
    /// Node 0 leads with epoch 1, the others stream; `/sync` names node 1 where the scope is synchronous.
    pub fn first(scope: &Scope) -> Self {
        let sync = match scope.synchronous {
            true => Sync { version: 1, leader: Some(0), standby: Some(1) },
            false => Sync { version: 1, leader: None, standby: None },
        };
        let record = Record {
            version: 1,
            holder: 0,
            life: 0,
            epoch: 1,
            age: 0,
            released: false,
            sync: scope.synchronous.then(|| sync.clone()),
        };
        let keys = Keys { record, sync, face: (1, 0, 1), claims: Vec::new(), claims_version: 1, handoff: None };
        let nodes = (0..scope.nodes).map(|node| Self::first_node(node, &keys, scope)).collect();
        Self {
            keys,
            nodes,
            calls: Vec::new(),
            writes: 0,
            acknowledged: Vec::new(),
            synchronous: u8::from(scope.synchronous),
            faults: 0,
        }
    }

    /// As bytes; of a view that is the newest only that it is.
    pub fn encode(mut self) -> Vec<u8> {
        let (mut newest, view) = (0_u8, self.keys.view());
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if node.view.as_ref() == Some(&view) {
                node.view = None;
                newest |= 1 << place;
            }
        }
        postcard::to_stdvec(&(newest, self)).expect("a state has a form")
    }

    /// And back.
    pub fn decode(encoded: &[u8]) -> Self {
        let (newest, mut state): (u8, Self) = postcard::from_bytes(encoded).expect("this is the form of a state");
        let view = state.keys.view();
        for (place, node) in state.nodes.iter_mut().enumerate() {
            if newest >> place & 1 == 1 {
                node.view = Some(view.clone());
            }
        }
        state
    }

    fn first_node(node: u8, keys: &Keys, scope: &Scope) -> Node {
        let leads = node == 0;
        let names = if leads && scope.synchronous { Names::First(1) } else { Names::Nobody };
        let own = Own { epoch: 1, version: 1, age: 0, sync: keys.record.sync.clone() };
        Node {
            life: 0,
            mind: Mind { clear: true, target: (leads && scope.synchronous).then_some((names, 1, 1)), ..Mind::default() },
            view: Some(keys.clone()),
            seen_age: 0,
            confirmed: None,
            own: leads.then_some(own),
            tried: leads,
            waits: (false, false),
            frozen: false,
            cut: false,
            down: false,
            asked: false,
            armed: leads.then_some((1, 0)),
            fenced: false,
            server: if leads { Server::Primary } else { Server::Standby { upstream: Some((0, 1)) } },
            log: vec![1],
            names: (names, None),
            proof: leads.then_some(1),
            waiting: Vec::new(),
            work: None,
            worked: None,
        }
    }
}
