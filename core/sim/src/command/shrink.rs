//! The smallest list of faults that still breaks the same invariant.

use crate::{branching::Script, case::Case, fault::Fault, mutant::Mutant, schedule, trace::Trace};

/// Which invariant a script breaks.
fn breaks(case: Case, script: &Script, mutant: Option<Mutant>) -> Option<&'static str> {
    schedule::run(case, script.clone(), mutant, Trace::default()).violation.map(|violation| violation.invariant)
}

/// Takes faults away, one by one, then shortens them, as long as the same invariant breaks.
pub fn smallest(case: Case, mutant: Option<Mutant>) -> Option<(&'static str, Script)> {
    let mut script = case.script();
    let wanted = breaks(case, &script, mutant)?;
    let attempt = |script: &mut Script, change: &dyn Fn(&mut Script)| {
        let mut changed = script.clone();
        change(&mut changed);
        let still = breaks(case, &changed, mutant) == Some(wanted);
        if still {
            *script = changed;
        }
        still
    };
    loop {
        let before = script.clone();
        for list in 0..script.lists().len() {
            let mut index = 0;
            while index < script.lists()[list].len() {
                let taken = attempt(&mut script, &|script| {
                    script.lists()[list].remove(index);
                });
                index += usize::from(!taken);
            }
            for index in 0..script.lists()[list].len() {
                attempt(&mut script, &|script| script.lists()[list][index].span /= 2);
            }
        }
        if script == before {
            return Some((wanted, script));
        }
    }
}

/// The command. `false`: the seed breaks something.
pub fn shrink(case: Case, mutant: Option<Mutant>) -> bool {
    let Some((invariant, mut script)) = smallest(case, mutant) else {
        println!("seed={case} violation=none");
        return true;
    };
    let outcome = schedule::run(case, script.clone(), mutant, Trace::telling());
    for line in outcome.trace.story.unwrap_or_default() {
        println!("{line}");
    }
    let faults: Vec<Fault> = script.lists().into_iter().flat_map(|list| list.clone()).collect();
    for fault in &faults {
        println!("fault: {fault}");
    }
    println!("seed={case} violation={invariant} faults={}", faults.len());
    false
}
