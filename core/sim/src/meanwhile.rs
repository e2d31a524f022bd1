//! What operators ask for, and what befalls the cluster before it is done; and what befalls a leader whose standbys are not what the store
//! says of them. Drawn on its own, and in the brisk form only, so that the schedules of all seeds stay as they are.

use crate::{
    fault::{Fault, Kind},
    model::clock::{MS, SEC},
    options::Options,
    rng::Rng,
};

/// One fault: what, on whichever leads then or anywhere, and how long after the first it begins at least and at most.
type Part = (Kind, bool, u64, u64);

const MEANWHILE: &[&[Part]] = &[
    // The checkpoint before the stop goes on for long.
    &[(Kind::Switchover, true, 0, MS), (Kind::StoreDown, true, 10 * MS, 4 * SEC)],
    &[(Kind::Switchover, true, 0, MS), (Kind::CutFromStore, true, 10 * MS, 4 * SEC)],
    &[(Kind::Switchover, true, 0, MS), (Kind::CutNodes, false, 10 * MS, 4 * SEC)],
    &[(Kind::Switchover, true, 0, MS), (Kind::PowerLoss, false, 10 * MS, 8 * SEC)],
    &[(Kind::Switchover, true, 0, MS), (Kind::LeaderKeyDeleted, true, 10 * MS, 8 * SEC)],
    &[(Kind::StopService, true, 0, MS), (Kind::StoreDown, true, 10 * MS, 4 * SEC)],
    &[(Kind::StopService, true, 0, MS), (Kind::CutNodes, false, 10 * MS, 4 * SEC)],
    &[(Kind::StopService, true, 0, MS), (Kind::LeaderKeyDeleted, true, 10 * MS, 8 * SEC)],
    &[(Kind::StopService, false, 0, MS), (Kind::PowerLoss, true, 10 * MS, 8 * SEC)],
    // Whoever comes back is not ready when the leader is another one, or the same under another epoch.
    &[(Kind::PowerLoss, true, 0, MS), (Kind::LeaderKeyDeleted, true, 7 * SEC, 16 * SEC)],
    &[(Kind::Isolate, true, 0, MS), (Kind::LeaderKeyDeleted, true, 7 * SEC, 16 * SEC)],
    // A standby is behind, or has no agent, or no link, and the leader's server ends.
    &[(Kind::SlowReplication, false, 0, MS), (Kind::PostgresKill, true, SEC, 8 * SEC)],
    &[(Kind::CutNodes, false, 0, MS), (Kind::PostgresKill, true, SEC, 12 * SEC)],
    &[(Kind::CutFromStore, false, 0, MS), (Kind::PowerLoss, true, 12 * SEC, 18 * SEC)],
    &[(Kind::CutNodes, false, 0, MS), (Kind::StorageFull, true, SEC, 12 * SEC)],
];

/// In one of twelve brisk schedules.
pub fn meanwhile(seed: u64, options: &Options) -> Vec<Fault> {
    let mut rng = Rng::new(seed).fork(23);
    if !options.brisk || !rng.chance(80) {
        return Vec::new();
    }
    let parts = MEANWHILE[rng.index(MEANWHILE.len())];
    let first = rng.range(10 * SEC, 42 * SEC);
    let mut draw = |(kind, on_leader, least, most): &Part| {
        let at = first + rng.range(*least, *most);
        let span = rng.range(options.ttl, 20 * SEC).min(options.heal_at - SEC - at);
        let node = (!on_leader).then(|| rng.index(options.nodes));
        Fault { kind: *kind, at, span, node, choice: rng.draw() }
    };
    parts.iter().map(&mut draw).collect()
}
