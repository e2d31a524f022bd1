//! What can go wrong, and what operators do: a list of faults per schedule, made from its seed, so that `shrink` can take some away.

use crate::{
    absence::absence,
    combination::combination,
    meanwhile::meanwhile,
    model::clock::{MS, SEC},
    one_by_one::one_by_one,
    options::Options,
    rng::Rng,
    storage,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Kind {
    CutFromStore,
    CutRequests,
    CutAnswers,
    CutNodes,
    CutOneWay,
    Isolate,
    SlowStore,
    LossyStore,
    StoreDown,
    StoreElection,
    WatchGap,
    LeaderKeyDeleted,
    Restore,
    AgentKill,
    AgentPause,
    GuardPause,
    GuardKill,
    GuardAndAgentPause,
    PostgresKill,
    PostgresHang,
    Freeze,
    VmPause,
    PowerLoss,
    Slew,
    SlowFence,
    SlowPromote,
    SlowStop,
    SlowStart,
    CopyFails,
    Switchover,
    Mode,
    StopService,
    PluginTrouble,
    CancelWaits,
    SlowReload,
    PauseBeforeOpening,
    SlowReplication,
    Ttl,
    ReplayPaused,
    ReplayBlocked,
    StartupFrozen,
    DirectoryLost,
    DirectoryReplaced,
    LosesWrites,
    LeaderKeyTaken,
    Failsafe,
    StorageHang,
    StorageFull,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 48] = [
        Self::CutFromStore,
        Self::CutRequests,
        Self::CutAnswers,
        Self::CutNodes,
        Self::CutOneWay,
        Self::Isolate,
        Self::SlowStore,
        Self::LossyStore,
        Self::StoreDown,
        Self::StoreElection,
        Self::WatchGap,
        Self::LeaderKeyDeleted,
        Self::Restore,
        Self::AgentKill,
        Self::AgentPause,
        Self::GuardPause,
        Self::GuardKill,
        Self::GuardAndAgentPause,
        Self::PostgresKill,
        Self::PostgresHang,
        Self::Freeze,
        Self::VmPause,
        Self::PowerLoss,
        Self::Slew,
        Self::SlowFence,
        Self::SlowPromote,
        Self::SlowStop,
        Self::SlowStart,
        Self::CopyFails,
        Self::Switchover,
        Self::Mode,
        Self::StopService,
        Self::PluginTrouble,
        Self::CancelWaits,
        Self::SlowReload,
        Self::PauseBeforeOpening,
        Self::SlowReplication,
        Self::Ttl,
        Self::ReplayPaused,
        Self::ReplayBlocked,
        Self::StartupFrozen,
        Self::DirectoryLost,
        Self::DirectoryReplaced,
        Self::LosesWrites,
        Self::LeaderKeyTaken,
        Self::Failsafe,
        Self::StorageHang,
        Self::StorageFull,
    ];

    /// Of `ALL`, those that any fault may be. The others are drawn on their own (`own_kinds`), so that one more kind leaves the schedules
    /// of all seeds as they are.
    const DRAWN: usize = 37;
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// When it begins, true time.
    pub at: u64,
    /// How long it lasts.
    pub span: u64,
    /// On which node; `None`: on whichever leads then.
    pub node: Option<usize>,
    /// A free choice.
    pub choice: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, span) = (self.at / MS, self.span / MS);
        match self.node {
            Some(node) => write!(f, "{:?} on n{} at {at} ms for {span} ms", self.kind, node + 1),
            None => write!(f, "{:?} on the leader at {at} ms for {span} ms", self.kind),
        }
    }
}

/// The faults of a seed.
pub fn schedule(seed: u64, options: &Options) -> Vec<Fault> {
    if options.brisk && Rng::new(seed).fork(21).chance(120) {
        return one_by_one(Rng::new(seed).fork(22), options);
    }
    let mut rng = Rng::new(seed).fork(3);
    // Some schedules are calm: nothing may happen in them.
    let count = if rng.chance(40) { 0 } else { rng.range(1, 9) };
    let focus = rng.range(14 * SEC, 55 * SEC);
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            // Half of them close together: that is where the interesting schedules are.
            let at = if rng.chance(500) { focus + rng.below(9 * SEC) } else { rng.range(8 * SEC, 62 * SEC) };
            let kind = Kind::ALL[rng.index(Kind::DRAWN)];
            // A restored store is rare, and excuses much.
            let kind = if kind == Kind::Restore && !rng.chance(250) { Kind::LeaderKeyDeleted } else { kind };
            let span = match rng.below(4) {
                0 => rng.range(10 * MS, SEC),
                1 => rng.range(SEC, 2 * options.ttl),
                _ => rng.range(100 * MS, 20 * SEC),
            };
            let span = span.min(options.heal_at - SEC - at.min(options.heal_at - SEC));
            let node = (!rng.chance(550)).then(|| rng.index(options.nodes));
            Fault { kind, at, span, node, choice: rng.draw() }
        })
        .collect();
    faults.extend(combination(&mut rng, options));
    faults.extend(own_kinds(seed, options));
    faults.extend(absence(seed, options));
    faults.extend(storage::faults(seed, options));
    faults.extend(meanwhile(seed, options));
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Kinds that are drawn on their own: how many of a thousand schedules have one, at most how many, and what befalls the leader shortly
/// after half of them, because they do harm only together.
const OWN: &[(Kind, u64, u64, &[Kind])] = &[
    (Kind::Ttl, 150, 3, &[Kind::Isolate, Kind::PowerLoss]),
    (Kind::ReplayPaused, 100, 2, &[Kind::VmPause, Kind::VmPause, Kind::GuardAndAgentPause, Kind::Isolate]),
    (Kind::ReplayBlocked, 100, 2, &[Kind::VmPause, Kind::VmPause, Kind::GuardAndAgentPause, Kind::Isolate]),
    (Kind::StartupFrozen, 40, 2, &[Kind::Isolate]),
    (Kind::DirectoryLost, 40, 2, &[Kind::PowerLoss]),
    (Kind::DirectoryReplaced, 40, 2, &[Kind::PowerLoss]),
    (Kind::LosesWrites, 150, 3, &[Kind::PowerLoss, Kind::Isolate]),
    (Kind::LeaderKeyTaken, 60, 2, &[]),
    (Kind::Failsafe, 100, 2, &[Kind::CutFromStore, Kind::AgentKill]),
];

fn own_kinds(seed: u64, options: &Options) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (kind, share, most, after) in OWN {
        let mut rng = Rng::new(seed).fork(100 + *kind as u64);
        let count = if rng.chance(*share) { rng.range(1, most + 1) } else { 0 };
        for _ in 0..count {
            // Some while the cluster is made.
            let first = *kind == Kind::LosesWrites && rng.chance(300);
            let at = if first { rng.range(4 * SEC, 9 * SEC) } else { rng.range(9 * SEC, options.heal_at - 2 * SEC) };
            let span = |rng: &mut Rng, at: u64| rng.range(100 * MS, 20 * SEC).min(options.heal_at - SEC - at);
            let node = (!rng.chance(500)).then(|| rng.index(options.nodes));
            faults.push(Fault { kind: *kind, at, span: span(&mut rng, at), node, choice: rng.draw() });
            let next = at + rng.range(10 * MS, 5 * SEC);
            if !after.is_empty() && next < options.heal_at - 2 * SEC && rng.chance(500) {
                let kind = after[rng.index(after.len())];
                faults.push(Fault { kind, at: next, span: span(&mut rng, next), node: None, choice: rng.draw() });
            }
        }
    }
    faults
}
