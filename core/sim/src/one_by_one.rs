//! Faults one after the other, each when the one before is over and all is well again: what each alone may cost is known
//! (`invariant::alone`).

use crate::{
    fault::{Fault, Kind},
    model::clock::{MS, SEC},
    options::Options,
    rng::Rng,
};

/// What is judged alone. What leaders die of comes more than once.
const KINDS: &[Kind] = &[
    Kind::StoreDown,
    Kind::StoreDown,
    Kind::CutFromStore,
    Kind::CutFromStore,
    Kind::CutRequests,
    Kind::CutAnswers,
    Kind::Isolate,
    Kind::Isolate,
    Kind::PowerLoss,
    Kind::PowerLoss,
    Kind::Freeze,
    Kind::VmPause,
    Kind::AgentKill,
    Kind::AgentPause,
    Kind::GuardPause,
    Kind::GuardKill,
    Kind::GuardAndAgentPause,
    Kind::PostgresKill,
    Kind::PostgresKill,
    Kind::PostgresHang,
    Kind::StopService,
    Kind::Switchover,
    Kind::DirectoryLost,
    Kind::StorageHang,
    Kind::StorageFull,
];

/// Three faults with time between them, which the brisk form cuts short.
pub fn one_by_one(mut rng: Rng, options: &Options) -> Vec<Fault> {
    let fault = |index: u64| {
        let kind = KINDS[rng.index(KINDS.len())];
        let span = if rng.chance(200) { rng.range(10 * MS, options.ttl) } else { rng.range(options.ttl, 15 * SEC) };
        let node = (!rng.chance(550)).then(|| rng.index(options.nodes));
        Fault { kind, at: 12 * SEC + index * 19 * SEC + rng.below(SEC), span: span.min(15 * SEC), node, choice: rng.draw() }
    };
    (0..3).map(fault).collect()
}
