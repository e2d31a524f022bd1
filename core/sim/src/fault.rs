//! What can go wrong, and what operators do: a list of faults per schedule, made from its seed, so that `shrink` can take some away.

use crate::{
    combination::combination,
    model::clock::{MS, SEC},
    options::Options,
    rng::Rng,
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
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 37] = [
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
    ];
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
    let mut rng = Rng::new(seed).fork(3);
    // Some schedules are calm: nothing may happen in them.
    let count = if rng.chance(40) { 0 } else { rng.range(1, 9) };
    let focus = rng.range(14 * SEC, 55 * SEC);
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            // Half of them close together: that is where the interesting schedules are.
            let at = if rng.chance(500) { focus + rng.below(9 * SEC) } else { rng.range(8 * SEC, 62 * SEC) };
            let kind = Kind::ALL[rng.index(Kind::ALL.len())];
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
    faults.sort_by_key(|fault| fault.at);
    faults
}
