//! Schedules around one that is known: what once broke something, or nearly, is where the next finding is. The world and its chances stay
//! as they are up to the first fault that is changed.

use crate::{
    case::Case,
    fault::{Fault, Kind},
    model::clock::{MS, SEC},
    options::Options,
    rng::Rng,
};

/// The faults of a variation, by their beginnings.
pub fn varied(faults: Vec<Fault>, case: Case, options: &Options) -> Vec<Fault> {
    if case.variation == 0 {
        return faults;
    }
    let mut rng = Rng::new(case.seed).fork(1_000 + case.variation);
    let latest = options.heal_at - 2 * SEC;
    let mut changed = Vec::with_capacity(faults.len() + 2);
    for fault in faults {
        // Most variations change few of them.
        if rng.chance(600) {
            changed.push(fault);
        } else if !rng.chance(150) {
            changed.push(moved(fault, &mut rng, options));
        }
        if rng.chance(80) {
            changed.push(another(fault, &mut rng, options));
        }
    }
    for fault in &mut changed {
        fault.at = fault.at.min(latest);
        fault.span = fault.span.min(options.heal_at - SEC - fault.at);
    }
    changed.sort_by_key(|fault| fault.at);
    changed
}

/// Earlier or later, by milliseconds as often as by seconds; shorter or longer; elsewhere; otherwise.
fn moved(fault: Fault, rng: &mut Rng, options: &Options) -> Fault {
    let most = [5 * MS, 50 * MS, 500 * MS, 5 * SEC][rng.index(4)];
    let by = rng.below(most);
    let at = if rng.chance(500) { fault.at + by } else { fault.at.saturating_sub(by).max(4 * SEC) };
    let span = match rng.below(4) {
        0 => fault.span / 2 + rng.below(fault.span / 2 + 1),
        1 => fault.span + rng.below(fault.span + 1),
        2 => rng.range(10 * MS, 4 * options.ttl),
        _ => fault.span,
    };
    let node = if rng.chance(80) { Some(rng.index(options.nodes)) } else { fault.node };
    let choice = if rng.chance(200) && fault.kind != Kind::Slew { rng.draw() } else { fault.choice };
    Fault { at, span, node, choice, ..fault }
}

/// One more, about when this one happens.
fn another(near: Fault, rng: &mut Rng, options: &Options) -> Fault {
    let kind = Kind::ALL[rng.index(Kind::ALL.len())];
    let at = (near.at + rng.below(near.span + 2 * SEC)).saturating_sub(rng.below(2 * SEC)).max(4 * SEC);
    let node = (!rng.chance(550)).then(|| rng.index(options.nodes));
    let choice = if kind == Kind::Slew { rng.below(40_000) } else { rng.draw() };
    Fault { kind, at, span: rng.range(10 * MS, 4 * options.ttl), node, choice }
}
