//! Every interleaving of two nodes, and rules whose absence shows there.

use tanist_sim::{
    command::exhaustive::scopes,
    exhaustive::{Scope, search, tell},
    mutant::Mutant,
};

#[test]
fn no_interleaving_of_the_small_scope_breaks_anything() {
    for scope in scopes("small").unwrap() {
        let found = search(&scope);
        println!("{scope:?}: states={} transitions={} depth={}", found.states, found.transitions, found.depth);
        assert_eq!(found.violation.map(|(text, story)| (text, tell(&scope, &story))), None);
        assert!(found.complete && found.states > 1_000, "{} states", found.states);
    }
}

#[test]
fn threads_change_nothing() {
    let scope = Scope::of(2, false, 2, 1);
    let (one, three) = (search(&scope), search(&Scope { jobs: 3, ..scope }));
    assert_eq!((one.states, one.transitions, one.depth), (three.states, three.transitions, three.depth));
}

#[test]
fn the_enumeration_can_fail() {
    for (mutant, synchronous, faults, invariant) in [
        (Mutant::NoBudget, true, 1, "I1"),
        (Mutant::GuardNeverFences, true, 1, "I1"),
        (Mutant::UnknownIsVacant, true, 1, "I1"),
        (Mutant::RenewWithoutCompare, true, 1, "I4"),
        (Mutant::TimelineUnclaimed, true, 2, "I4"),
        (Mutant::PromoteUnarmed, false, 2, "I"),
    ] {
        let scope = Scope { jobs: 2, ..Scope::of(2, synchronous, 3, faults) }.without(Some(mutant));
        let found = search(&scope);
        let (text, story) = found.violation.unwrap_or_else(|| panic!("{mutant:?} lives in {} states", found.states));
        println!("{mutant:?}: {text} after {} moves", story.len());
        assert!(text.starts_with(invariant), "{mutant:?}: {text}: {:#?}", tell(&scope, &story));
    }
}
