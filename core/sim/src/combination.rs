//! Faults that do harm only together: each is harmless alone, and chance alone rarely makes them meet.

use crate::{
    fault::{Fault, Kind},
    model::clock::{MS, SEC},
    options::Options,
    rng::Rng,
};

/// One fault of a combination: what, and how long after the first it begins at least and at most.
type Part = (Kind, u64, u64);

/// What has to meet on the leader, and why.
const COMBINATIONS: &[&[Part]] = &[
    // The lease ends by a clock that is too slow, and the agent, which looks at both, does not run.
    &[(Kind::Slew, 0, MS), (Kind::AgentPause, 10 * MS, 2 * SEC)],
    &[(Kind::Slew, 0, MS), (Kind::CutFromStore, 10 * MS, 2 * SEC)],
    // A fence that takes all of its budget.
    &[(Kind::SlowFence, 0, MS), (Kind::CutFromStore, 10 * MS, 2 * SEC)],
    &[(Kind::SlowFence, 0, MS), (Kind::AgentPause, 10 * MS, 2 * SEC)],
    &[(Kind::SlowFence, 0, MS), (Kind::GuardPause, 10 * MS, 2 * SEC), (Kind::CutFromStore, 20 * MS, SEC)],
    // The next leader stands still between the decision and what it does, and outlives its own lease.
    &[(Kind::PauseBeforeOpening, 0, MS), (Kind::PowerLoss, 10 * MS, SEC)],
    &[(Kind::PauseBeforeOpening, 0, MS), (Kind::Isolate, 10 * MS, SEC)],
    &[(Kind::PauseBeforeOpening, 0, MS), (Kind::PostgresKill, 10 * MS, SEC), (Kind::CutFromStore, 20 * MS, SEC)],
    // Some processes still have the old names when the leader is cut off.
    &[(Kind::SlowReload, 0, MS), (Kind::Mode, 10 * MS, SEC), (Kind::Isolate, 20 * MS, 5 * SEC)],
    &[(Kind::SlowReload, 0, MS), (Kind::CutNodes, 10 * MS, SEC), (Kind::Isolate, 3 * SEC, 12 * SEC)],
    // Standbys are behind when the leader goes, or when another one is to be named.
    &[(Kind::SlowReplication, 0, MS), (Kind::PowerLoss, SEC, 8 * SEC)],
    &[(Kind::SlowReplication, 0, MS), (Kind::Isolate, SEC, 8 * SEC)],
    &[(Kind::SlowReplication, 0, MS), (Kind::Mode, 10 * MS, SEC), (Kind::Isolate, SEC, 9 * SEC)],
    &[(Kind::SlowReplication, 0, MS), (Kind::CutNodes, 10 * MS, SEC), (Kind::PowerLoss, 3 * SEC, 12 * SEC)],
    &[(Kind::PowerLoss, 0, MS), (Kind::SlowReplication, SEC, 8 * SEC), (Kind::Isolate, 8 * SEC, 14 * SEC)],
    // What was sent lands when the lease is over.
    &[(Kind::LossyStore, 0, MS), (Kind::StoreDown, 10 * MS, 2 * SEC)],
    &[(Kind::SlowFence, 0, MS), (Kind::StoreDown, 10 * MS, SEC)],
    &[(Kind::LossyStore, 0, MS), (Kind::CutNodes, 10 * MS, SEC), (Kind::PowerLoss, 4 * SEC, 12 * SEC)],
    // Answers are late, then nothing passes any more.
    &[(Kind::SlowStore, 0, MS), (Kind::Isolate, 500 * MS, 4 * SEC)],
    &[(Kind::LossyStore, 0, MS), (Kind::CutFromStore, 500 * MS, 4 * SEC)],
    &[(Kind::SlowStore, 0, MS), (Kind::GuardPause, 10 * MS, 4 * SEC)],
    // One after the other goes, before the one before is back.
    &[(Kind::PowerLoss, 0, MS), (Kind::PowerLoss, 5 * SEC, 15 * SEC)],
    &[(Kind::Isolate, 0, MS), (Kind::AgentKill, SEC, 9 * SEC), (Kind::PowerLoss, 5 * SEC, 15 * SEC)],
    &[(Kind::VmPause, 0, MS), (Kind::SlowReload, MS, 2 * MS), (Kind::PowerLoss, 5 * SEC, 15 * SEC)],
    &[(Kind::CutNodes, 0, MS), (Kind::PostgresKill, SEC, 4 * SEC)],
];

/// In a third of the schedules one combination on whichever leads then.
pub fn combination(rng: &mut Rng, options: &Options) -> Vec<Fault> {
    if !rng.chance(330) {
        return Vec::new();
    }
    let parts = COMBINATIONS[rng.index(COMBINATIONS.len())];
    // Some while the cluster is made.
    let first = if rng.chance(200) { rng.range(4 * SEC, 13 * SEC) } else { rng.range(9 * SEC, 45 * SEC) };
    parts
        .iter()
        .map(|(kind, least, most)| {
            let at = first + rng.range(*least, *most);
            // Half of them last about as long as a lease.
            let about = rng.chance(500).then(|| rng.range(options.ttl * 3 / 4, options.ttl * 5 / 4));
            let span = about.unwrap_or_else(|| rng.range(options.ttl, 4 * options.ttl)).min(options.heal_at - SEC - at);
            // A clock that is slewed runs slow: the other way a lease only ends early.
            let choice = if *kind == Kind::Slew { rng.below(40_000) } else { rng.draw() };
            Fault { kind: *kind, at, span, node: None, choice }
        })
        .collect()
}
