//! The decision: which situation this node is in, and so which file decides.
//!
//! One step at a time: a decision asks for what can be done on the facts it was given, and the next step follows when an observation
//! shows that this one has happened. There is no plan to be lost in a crash, only facts: forgetting the memory between any two
//! decisions costs at most a grace period (the tests do it after every step).
//!
//! ```text
//!                    Unknown     Vacant             Mine                          Theirs
//!   no data          wait        bootstrap / wait   bootstrap, else release       clone
//!   stopped          wait        start as standby   crashed: restart / release    returning: start / clone
//!   standby          wait        race               promote                       following
//!   primary          until end   fence              primary: prove, publish,      fence
//!                                                   synchronise, switch over
//!   unresponsive     wait, then fence
//! ```
//!
//! Before all of this: a writable PostgreSQL without permission is fenced (`fence`), and a lease is given up whose holder cannot
//! write any more (`storage`). Beside all of it: renewals (`renew`), what keeps the lease while the store is away (`failsafe`), the
//! member key and callbacks (`announce`).

mod announce;
mod ask;
mod bootstrap;
mod chosen;
mod crashed;
mod enough;
mod failsafe;
mod fence;
mod following;
mod history;
mod job;
mod leading;
mod marked;
mod members;
mod permission;
mod primary;
mod promise;
mod promote;
mod quorum;
mod race;
mod renew;
mod replaced;
mod restart;
mod returning;
mod stopping;
mod storage;
mod switchover;
mod sync;
mod turn;
mod unknown;
mod vacant;

use crate::{Decision, Lease, Memory, Moment, Observation, Policy, Postgres, Reason};
use turn::Turn;

/// What this node does next.
pub fn decide(policy: &Policy, memory: &Memory, seen: &Observation, now: Moment) -> Decision {
    decide_from(policy, memory.clone(), seen, now)
}

/// The same for a caller that has no more use for the memory before: the simulator, which decides some hundred times in a millisecond.
pub fn decide_from(policy: &Policy, memory: Memory, seen: &Observation, now: Moment) -> Decision {
    let mut turn = Turn::new(policy, memory, seen, now);
    turn.notice();
    let reason = situation(&mut turn);
    replaced::settle(&mut turn);
    fence::lay_down(&mut turn);
    renew::renew(&mut turn);
    let reason = failsafe::failsafe(&mut turn, reason);
    announce::announce(&mut turn);
    turn.finish(reason)
}

/// Finds the one file that decides.
fn situation(turn: &mut Turn<'_>) -> Reason {
    if let Some(reason) = fence::guarded(turn).or_else(|| leading::lost(turn)).or_else(|| storage::make_way(turn)) {
        return reason;
    }
    if let Some(reason) = fence::settled(turn).or_else(|| stopping::stop(turn)) {
        return reason;
    }
    if turn.seen.store.as_of.is_none() {
        return Reason::StoreNeverRead;
    }
    if let Some(reason) = bootstrap::foreign(turn).or_else(|| job::running(turn)) {
        return reason;
    }
    if let Some(reason) = turn.replaced_unseen() {
        return reason;
    }
    let seen = turn.seen;
    match (&seen.lease, &seen.postgres) {
        (_, Postgres::Unknown) => fence::blind(turn).unwrap_or(Reason::ProbePending),
        (_, Postgres::Unresponsive { since }) => fence::unresponsive(turn, *since),
        (Lease::Unknown, _) => unknown::wait(turn),
        (Lease::Vacant { .. }, _) => vacant::vacant(turn),
        (Lease::Mine(held), _) => leading::hold(turn, held),
        (Lease::Theirs(theirs), _) => following::follow(turn, theirs),
    }
}
