//! The leader lease over any store: one algorithm, one record.
//!
//! [`Keeper`] does the transactions; the timing is pure and lies in `tanist_engine`'s `HolderClock` and `ObserverClock`; what is known
//! is folded in `state`. How an agent uses it: every snapshot of the mirror goes to [`Keeper::observe`], then [`Keeper::lease`] goes
//! into the observation; when [`Keeper::wants_confirmation`], [`Keeper::confirm_vacant`] is called; after [`RenewOutcome::Renewed`] the
//! guard's page is extended to [`Keeper::until`], or armed anew when the epoch changed. Deliberately absent: when to acquire, renew or
//! release (the engine says so), and fencing (the guard does it).

mod acquire;
mod beside;
mod expiry;
mod failsafe;
mod outcome;
mod record;
mod release;
mod renew;
mod restored;
mod state;
mod view;
mod write;

pub use expiry::MemberError;
pub use outcome::{AcquireOutcome, Adopted, ReleaseOutcome, RenewOutcome, SyncNow, WriteOutcome};
pub use record::{Record, RecordError, decode_base, encode_base};
pub use release::Handover;
pub use write::MAX_OPS;

use crate::{Clock, Keys, Snapshot, Store, StoreError, Trouble, trouble::Troubles};
use state::State;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tanist_engine::{Lease, MemberName, Moment, Reading};
use tokio::sync::watch;

/// Takes, keeps and gives up the lease for one node, and reports it as the engine wants to see it. All methods may be called at the
/// same time; acquire, renew and release wait for each other, leader writes wait for nobody.
pub struct Keeper {
    store: Arc<dyn Store>,
    keys: Keys,
    clock: Clock,
    state: Mutex<State>,
    /// One acquire, renewal or release at a time: each builds on the revision the one before left.
    turn: tokio::sync::Mutex<()>,
    expiry: expiry::Expiry,
    troubles: Troubles,
}

impl Keeper {
    /// A keeper for `me`, whose guard was started with `nonce`.
    pub fn new(store: Arc<dyn Store>, keys: Keys, me: MemberName, nonce: u64, ttl: Duration, clock: Clock) -> Self {
        let state = Mutex::new(State::new(keys.clone(), me, nonce, ttl));
        Self {
            store,
            keys,
            clock,
            state,
            turn: tokio::sync::Mutex::new(()),
            expiry: expiry::Expiry::default(),
            troubles: Troubles::default(),
        }
    }

    /// The keys of the cluster.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The ttl in force here.
    pub fn ttl(&self) -> Duration {
        self.state().ttl
    }

    /// Changes ttl; the next write of the record carries it.
    pub fn set_ttl(&self, ttl: Duration) {
        self.state().ttl = ttl;
    }

    /// A restarted agent: what the guard's page says is held. When the record in the store has our name, our nonce and this epoch,
    /// the lease is ours until the page's end; otherwise this means nothing.
    pub fn adopt(&self, held: Adopted) {
        let now = self.clock.now();
        self.state().adopt(held, now);
    }

    /// Folds what the mirror shows. Call it for every snapshot; an older one than is known does no harm.
    pub fn observe(&self, snapshot: &Snapshot, now: Reading) {
        self.state().observe(snapshot, now);
    }

    /// The lease as the engine sees it.
    pub fn lease(&self, now: Reading) -> Lease {
        self.state().lease(now)
    }

    /// The end of the own lease on both clocks, for the guard's page.
    pub fn until(&self) -> Option<Reading> {
        self.state().until()
    }

    /// The record is over by this node's clocks and nobody has confirmed it: call [`Keeper::confirm_vacant`].
    pub fn wants_confirmation(&self, now: Reading) -> bool {
        self.state().wants_confirmation(now)
    }

    /// When the lease will look different without any news: the end of somebody else's record. Once that is over: some time later.
    pub fn next_change(&self, now: Reading) -> Option<Moment> {
        self.state().next_change(now)
    }

    /// What is wrong with the stored record or base, for people.
    pub fn trouble(&self) -> Option<RecordError> {
        self.state().trouble()
    }

    /// Why writes of lease and member key fail, as it changes: reads and watches may go on meanwhile.
    pub fn troubles(&self) -> watch::Receiver<Option<Arc<Trouble>>> {
        self.troubles.subscribe()
    }

    /// Takes note of how a write ended.
    fn note(&self, failure: Option<&StoreError>) {
        self.troubles.note(failure, self.clock.now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; a poisoned state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long one attempt may take.
    fn attempt_timeout(&self) -> Duration {
        self.state().ttl / 5
    }

    /// Says that an attempt is on its way, until the guard is dropped (also when the call is given up).
    fn fly(&self) -> Flight<'_> {
        let now = self.clock.now();
        let mut state = self.state();
        state.in_flight = true;
        state.called = Some(now);
        drop(state);
        Flight(self)
    }
}

/// An attempt on its way.
struct Flight<'a>(&'a Keeper);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight = false;
    }
}
