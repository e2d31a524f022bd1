//! All states of small clusters.

use crate::{
    exhaustive::{Scope, search, tell},
    mutant::Mutant,
};
use std::time::Instant;

/// The enumerations of a scope's name.
pub fn scopes(name: &str) -> Option<Vec<Scope>> {
    match name {
        "small" => Some(vec![Scope::of(2, true, 2, 1, 11), Scope::of(2, false, 2, 1, 11)]),
        "full" => Some(vec![
            Scope::of(2, true, 3, 2, 13),
            Scope::of(2, false, 3, 2, 13),
            Scope::of(3, true, 3, 2, 10),
            Scope::of(3, false, 3, 2, 10),
        ]),
        _ => None,
    }
}

/// The command. `false`: a violation.
pub fn exhaustive(scopes: &[Scope], mutant: Option<Mutant>) -> bool {
    let mut whole = true;
    for scope in scopes {
        let scope = Scope { tells: true, ..scope.without(mutant) };
        let began = Instant::now();
        let found = search(&scope);
        let Scope { nodes, epochs, faults, writes, .. } = scope;
        let mode = if scope.synchronous { "synchronous" } else { "asynchronous" };
        println!(
            "{mode} nodes={nodes} epochs={epochs} faults={faults} writes={writes}: states={} transitions={} depth={} complete={} \
             seconds={:.1}",
            found.states,
            found.transitions,
            found.depth,
            found.complete,
            began.elapsed().as_secs_f64()
        );
        if let Some((text, story)) = &found.violation {
            tell(&scope, story).iter().enumerate().for_each(|(number, line)| println!("{:>4}. {line}", number + 1));
            println!("VIOLATION {text}");
        }
        whole &= found.violation.is_none();
    }
    whole
}
