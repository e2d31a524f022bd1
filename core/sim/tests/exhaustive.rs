//! Every interleaving of two nodes within a few moves, and rules whose absence shows there.

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
        assert!(found.states > 1_000 && found.depth == scope.moves, "{} states", found.states);
    }
}

#[test]
fn the_enumeration_can_fail() {
    for (mutant, invariant) in [(Mutant::GuardNeverFences, "I1"), (Mutant::RenewWithoutCompare, "I4")] {
        let scope = Scope { writes: 0, ..Scope::of(2, true, 2, 0, 12) }.without(Some(mutant));
        let found = search(&scope);
        let (text, story) = found.violation.unwrap_or_else(|| panic!("{mutant:?} lives in {} states", found.states));
        assert!(text.starts_with(invariant), "{mutant:?}: {text}: {:#?}", tell(&scope, &story));
    }
}
