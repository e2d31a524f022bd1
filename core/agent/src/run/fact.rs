//! What the run loop is told. Everything that happens outside of it arrives as one of these.

use super::effect::Effect;
use tanist_engine::{JobOutcome, Moment, Peer, Policy, Postgres, StorageSeen, StoreView, Upstream};

/// One piece of news.
#[derive(Debug)]
pub enum Fact {
    /// The store's keys, or the last sign of life of the store, changed. The lease has been told before.
    Store(Box<StoreView>),
    /// A probe of the local PostgreSQL has finished.
    Postgres {
        /// What it found.
        found: Postgres,
        /// When it was begun; a probe that began before the last start or stop says nothing about now.
        begun: Moment,
    },
    /// PostgreSQL was just started or has just ended; every probe begun before says nothing any more.
    PostgresChanged(Postgres),
    /// The guard's page changed, or it reported something that is already folded into the link's state.
    Guard,
    /// This node has agreed to wait for another one.
    Waits,
    /// The storage of the data directory takes writes, or does not, or has no room.
    Storage(StorageSeen),
    /// A long job ended.
    Job(u64, JobOutcome),
    /// Who does not have the WAL any more that the standby here needs next; nobody is known not to.
    WalGone(Option<Upstream>),
    /// A short effect ended.
    Effect {
        /// Which.
        effect: Effect,
        /// It was carried out; otherwise it is tried again after a pause, if the engine still wants it.
        done: bool,
    },
    /// The lease record was read again, or could not be.
    Confirmed,
    /// The rules have changed.
    Policy(Box<Policy>),
    /// PostgreSQL was told to read its configuration again.
    Reloaded,
    /// What the member key says beside the engine's face has changed.
    Detail,
    /// A peer answered, or did not.
    Peer(Peer),
    /// The guard is dead and this agent has fenced PostgreSQL in its place: give the lease up and end.
    GuardDead,
    /// The operator asked for a restart of PostgreSQL, or does not wait for it any more.
    Restart(Option<Moment>),
    /// The service is to end.
    Stop,
    /// This node cannot go on; the agent ends with this message.
    Fatal(String),
}

/// Where facts are told. Never blocks; the loop is always faster than the world.
#[derive(Clone, Debug)]
pub struct Facts(tokio::sync::mpsc::UnboundedSender<Fact>);

impl Facts {
    /// A way into the loop, and the loop's end of it.
    pub fn channel() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Fact>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Tells one. After the loop's end nobody listens, which is as well.
    pub fn tell(&self, fact: Fact) {
        let _loop_has_ended = self.0.send(fact);
    }
}
