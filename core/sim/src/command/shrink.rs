//! The smallest list of faults that still breaks the same invariant.

use crate::{case::Case, fault::Fault, mutant::Mutant, schedule, trace::Trace};

/// Which invariant a list of faults breaks.
fn breaks(case: Case, faults: &[Fault], mutant: Option<Mutant>) -> Option<&'static str> {
    schedule::run(case, faults.to_vec(), mutant, Trace::default()).violation.map(|violation| violation.invariant)
}

/// Takes faults away, one by one, then shortens them, as long as the same invariant breaks.
pub fn smallest(case: Case, mutant: Option<Mutant>) -> Option<(&'static str, Vec<Fault>)> {
    let mut faults = case.faults();
    let wanted = breaks(case, &faults, mutant)?;
    loop {
        let before = faults.clone();
        let mut index = 0;
        while index < faults.len() {
            let mut fewer = faults.clone();
            fewer.remove(index);
            if breaks(case, &fewer, mutant) == Some(wanted) { faults = fewer } else { index += 1 }
        }
        for index in 0..faults.len() {
            let mut shorter = faults.clone();
            shorter[index].span /= 2;
            if breaks(case, &shorter, mutant) == Some(wanted) {
                faults = shorter;
            }
        }
        if faults == before {
            return Some((wanted, faults));
        }
    }
}

/// The command. `false`: the seed breaks something.
pub fn shrink(case: Case, mutant: Option<Mutant>) -> bool {
    let Some((invariant, faults)) = smallest(case, mutant) else {
        println!("seed={case} violation=none");
        return true;
    };
    let outcome = schedule::run(case, faults.clone(), mutant, Trace::telling());
    for line in outcome.trace.story.unwrap_or_default() {
        println!("{line}");
    }
    for fault in &faults {
        println!("fault: {fault}");
    }
    println!("seed={case} violation={invariant} faults={}", faults.len());
    false
}
