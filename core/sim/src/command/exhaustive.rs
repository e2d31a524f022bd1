//! All states of small clusters.

use crate::{
    exhaustive::{Scope, search, tell},
    mutant::Mutant,
};
use std::time::Instant;

/// The enumerations of a scope's name.
pub fn scopes(name: &str) -> Option<Vec<Scope>> {
    match name {
        "small" => Some(vec![Scope::of(2, true, 2, 1), Scope::of(2, false, 2, 1)]),
        "full" => Some([2, 3].into_iter().flat_map(|nodes| [true, false].map(|mode| Scope::of(nodes, mode, 3, 2))).collect()),
        _ => None,
    }
}

/// The command. `false`: a violation, or a scope that was not visited whole.
pub fn exhaustive(scopes: &[Scope], jobs: usize, mutant: Option<Mutant>) -> bool {
    let mut whole = true;
    for scope in scopes {
        let scope = Scope { tells: true, jobs, ..scope.without(mutant) };
        let began = Instant::now();
        let found = search(&scope);
        let Scope { nodes, epochs, faults, writes, .. } = scope;
        let mode = if scope.synchronous { "synchronous" } else { "asynchronous" };
        eprintln!("{:.1} seconds", began.elapsed().as_secs_f64());
        println!(
            "{mode} nodes={nodes} epochs={epochs} faults={faults} writes={writes}: states={} transitions={} depth={} complete={}",
            found.states, found.transitions, found.depth, found.complete,
        );
        if let Some((text, story)) = &found.violation {
            tell(&scope, story).iter().enumerate().for_each(|(number, line)| println!("{:>4}. {line}", number + 1));
            println!("VIOLATION {text}");
        }
        whole &= found.violation.is_none() && found.complete;
    }
    whole
}
