//! Many schedules on several threads. The result does not depend on how many.

use crate::{coverage::Coverage, mutant::Mutant, schedule, trace::Trace};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Violations that are kept with their text.
const KEPT: usize = 20;

/// What came of a hunt.
#[derive(Debug, Default)]
pub struct Hunt {
    /// Schedules that ran.
    pub schedules: u64,
    /// Violations, by seed; the first ones.
    pub found: BTreeMap<u64, String>,
    /// How many there were.
    pub violations: u64,
    /// The hashes of all traces, added up.
    pub hash: u64,
    /// What was reached.
    pub coverage: Coverage,
}

impl Hunt {
    fn add(&mut self, seed: u64, outcome: &schedule::Outcome) {
        self.schedules += 1;
        self.hash = self.hash.wrapping_add(outcome.hash);
        self.coverage.merge(&outcome.coverage);
        if let Some(violation) = &outcome.violation {
            self.violations += 1;
            self.found.insert(seed, format!("{}: {}", violation.invariant, violation.text));
            while self.found.len() > KEPT {
                self.found.pop_last();
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.violations += other.violations;
        self.hash = self.hash.wrapping_add(other.hash);
        self.coverage.merge(&other.coverage);
        self.found.extend(other.found);
        while self.found.len() > KEPT {
            self.found.pop_last();
        }
    }

    /// One line.
    pub fn line(&self, first: u64) -> String {
        let Self { schedules, violations, hash, coverage, .. } = self;
        let holes = coverage.holes().join(",");
        format!(
            "schedules={schedules} seed={first} violations={violations} hash={hash:016x} {} holes{{{holes}}}",
            coverage.line()
        )
    }
}

/// Runs `schedules` seeds from `first` on `jobs` threads.
pub fn hunt(first: u64, schedules: u64, jobs: usize, mutant: Option<Mutant>) -> Hunt {
    let next = AtomicU64::new(0);
    let all = Mutex::new(Hunt::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let mut mine = Hunt::default();
                loop {
                    let begin = next.fetch_add(64, Relaxed);
                    if begin >= schedules {
                        break;
                    }
                    for index in begin..(begin + 64).min(schedules) {
                        let seed = first.wrapping_add(index);
                        let outcome = schedule::run(seed, schedule::faults(seed), mutant, Trace::default());
                        mine.add(seed, &outcome);
                    }
                }
                if let Ok(mut all) = all.lock() {
                    all.merge(mine);
                }
            });
        }
    });
    all.into_inner().unwrap_or_default()
}

/// The command. `false`: a violation was found.
pub fn fuzz(first: u64, schedules: u64, jobs: usize, mutant: Option<Mutant>) -> bool {
    let began = Instant::now();
    let hunt = hunt(first, schedules, jobs, mutant);
    let spent = began.elapsed();
    for (seed, text) in &hunt.found {
        println!("seed {seed}: {text}\n    tanist-sim run {seed}");
    }
    eprintln!("{:.0} schedules per second on {jobs} threads", hunt.schedules as f64 / spent.as_secs_f64().max(0.001));
    println!("{}", hunt.line(first));
    hunt.violations == 0
}
