//! The store is away and failsafe mode on: what befalls the leader, those who agree, and members that come and go meanwhile. Drawn on its
//! own, so that the schedules of all seeds stay as they are.

use crate::{
    fault::{Fault, Kind},
    model::clock::{MS, SEC},
    options::Options,
    rng::Rng,
};

/// A fault of the leader: what, and how long after the first it begins at least and at most.
type Part = (Kind, u64, u64);

const ABSENCES: &[&[Part]] = &[
    &[(Kind::StoreDown, 0, MS)],
    // Links to those who agree, and their processes, come and go.
    &[(Kind::StoreDown, 0, MS), (Kind::CutNodes, 10 * MS, 5 * SEC)],
    &[(Kind::StoreDown, 0, MS), (Kind::CutOneWay, 10 * MS, 5 * SEC), (Kind::AgentKill, SEC, 9 * SEC)],
    &[(Kind::CutFromStore, 0, MS), (Kind::CutNodes, SEC, 9 * SEC)],
    &[(Kind::CutFromStore, 0, MS), (Kind::CutOneWay, SEC, 9 * SEC)],
    &[(Kind::CutFromStore, 0, MS), (Kind::AgentKill, SEC, 9 * SEC)],
    &[(Kind::CutFromStore, 0, MS), (Kind::AgentPause, SEC, 9 * SEC)],
    &[(Kind::CutFromStore, 0, MS), (Kind::Slew, SEC, 4 * SEC), (Kind::Isolate, 4 * SEC, 12 * SEC)],
    &[(Kind::CutAnswers, 0, MS), (Kind::AgentKill, SEC, 9 * SEC), (Kind::Failsafe, 10 * MS, 9 * SEC)],
    &[(Kind::CutRequests, 0, MS), (Kind::CutNodes, SEC, 9 * SEC), (Kind::LossyStore, SEC, 9 * SEC)],
    &[(Kind::CutRequests, 0, MS), (Kind::Ttl, 10 * MS, 4 * SEC), (Kind::CutNodes, SEC, 9 * SEC)],
    &[(Kind::LossyStore, 0, MS), (Kind::CutFromStore, SEC, 4 * SEC), (Kind::Failsafe, 10 * MS, 4 * SEC)],
    &[(Kind::StoreDown, 0, MS), (Kind::VmPause, SEC, 9 * SEC), (Kind::PowerLoss, 9 * SEC, 15 * SEC)],
    // The names are on their way when the store is lost, and the agent forgets.
    &[(Kind::Failsafe, 0, MS), (Kind::CutFromStore, 5 * MS, SEC), (Kind::AgentKill, SEC, 3 * SEC)],
];

/// In a quarter of the schedules with failsafe mode.
pub fn absence(seed: u64, options: &Options) -> Vec<Fault> {
    let mut rng = Rng::new(seed).fork(19);
    if !options.failsafe || !rng.chance(250) {
        return Vec::new();
    }
    if rng.chance(200) {
        return member_away(&mut rng, options);
    }
    let parts = ABSENCES[rng.index(ABSENCES.len())];
    let first = rng.range(9 * SEC, 45 * SEC);
    let part = |(kind, least, most): &Part| {
        let at = first + rng.range(*least, *most);
        let span = rng.range(options.ttl, 4 * options.ttl).min(options.heal_at - SEC - at);
        let choice = if *kind == Kind::Slew { rng.below(40_000) } else { rng.draw() };
        Fault { kind: *kind, at, span, node: None, choice }
    };
    parts.iter().map(part).collect()
}

/// A member is away until the leader counts on it no more, and comes back to the store while the leader is cut off from it.
fn member_away(rng: &mut Rng, options: &Options) -> Vec<Fault> {
    let at = rng.range(9 * SEC, 13 * SEC);
    let span = rng.range(options.ttl * 7 / 2, options.ttl * 9 / 2).min(38 * SEC);
    let fault = |kind, at: u64, span: u64, node| Fault { kind, at, span: span.min(options.heal_at - SEC - at), node, choice: 0 };
    let away = if rng.chance(500) { Kind::CutFromStore } else { Kind::PowerLoss };
    let member = Some(rng.index(options.nodes));
    let blind = at + span - rng.range(options.ttl / 10, options.ttl / 2);
    vec![fault(away, at, span, member), fault(Kind::CutFromStore, blind, 3 * options.ttl, None)]
}
