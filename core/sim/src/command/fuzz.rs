//! Many schedules on several threads. The result does not depend on how many.

use crate::{
    branching::FAMILY,
    case::{Case, Cases},
    coverage::Coverage,
    mutant::Mutant,
    schedule,
};
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
    /// Violations; the first ones.
    pub found: BTreeMap<Case, String>,
    /// How many there were.
    pub violations: u64,
    /// The hashes of all traces, added up.
    pub hash: u64,
    /// What was reached.
    pub coverage: Coverage,
    /// The seeds that took longest until there was one primary, and until all was well, and the one with the busiest agent.
    pub most: [(u64, Case); 3],
}

impl Hunt {
    fn add(&mut self, case: Case, outcome: &schedule::Outcome) {
        self.schedules += 1;
        self.hash = self.hash.wrapping_add(outcome.hash);
        self.coverage.merge(&outcome.coverage);
        let Coverage { slowest_lead, slowest_heal, busiest, .. } = outcome.coverage;
        self.more([slowest_lead, slowest_heal, busiest].map(|count| (count, case)));
        if let Some(violation) = &outcome.violation {
            self.violations += 1;
            self.found.insert(case, format!("{}: {}", violation.invariant, violation.text));
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
        self.more(other.most);
        self.found.extend(other.found);
        while self.found.len() > KEPT {
            self.found.pop_last();
        }
    }

    fn more(&mut self, others: [(u64, Case); 3]) {
        for (mine, other) in self.most.iter_mut().zip(others) {
            // Of two that are equal the first, so that the number of threads does not matter.
            if other.0 > mine.0 || other.0 == mine.0 && other.1 < mine.1 {
                *mine = other;
            }
        }
    }

    /// One line.
    pub fn line(&self, first: Case) -> String {
        let Self { schedules, violations, hash, coverage, .. } = self;
        let holes = coverage.holes().join(",");
        format!(
            "schedules={schedules} seed={first} violations={violations} hash={hash:016x} {} holes{{{holes}}}",
            coverage.line()
        )
    }
}

/// Runs so many of these on `jobs` threads.
pub fn hunt(cases: Cases, schedules: u64, jobs: usize, mutant: Option<Mutant>) -> Hunt {
    let next = AtomicU64::new(0);
    let all = Mutex::new(Hunt::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let mut mine = Hunt::default();
                loop {
                    let begin = next.fetch_add(FAMILY, Relaxed);
                    if begin >= schedules {
                        break;
                    }
                    let many = FAMILY.min(schedules - begin);
                    match cases {
                        Cases::From(_) => {
                            schedule::family(cases.at(begin), many, mutant, |case, outcome| mine.add(case, &outcome))
                        }
                        Cases::Around(..) => (begin..begin + many).for_each(|index| {
                            let case = cases.at(index);
                            mine.add(case, &schedule::run_for(case, mutant, true));
                        }),
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
pub fn fuzz(cases: Cases, schedules: u64, jobs: usize, mutant: Option<Mutant>) -> bool {
    let began = Instant::now();
    let hunt = hunt(cases, schedules, jobs, mutant);
    let spent = began.elapsed();
    for (case, text) in &hunt.found {
        println!("seed {case}: {text}\n    tanist-sim run {case}");
    }
    let [(lead, first_lead), (heal, first_heal), (turns, first_busy)] = hunt.most;
    println!("slowest until one primary: {} ms, seed {first_lead}", lead / 1_000_000);
    println!("slowest until all was well: {} ms, seed {first_heal}", heal / 1_000_000);
    println!("busiest agent: {turns} decisions within a second, seed {first_busy}");
    let per = |seconds: f64| hunt.schedules as f64 / seconds.max(0.001);
    eprint!("{:.0} schedules per second on {jobs} threads", per(spent.as_secs_f64()));
    eprintln!("{}", cpu_seconds().map_or_else(String::new, |used| format!(", {:.0} per second of CPU", per(used))));
    println!("{}", hunt.line(cases.at(0)));
    hunt.violations == 0
}

/// What this process has used of the processors, where Linux tells it. It counts in ticks of a hundredth of a second.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold anything; user and system time are the 12th and 13th field behind it.
    let (_, behind) = text.rsplit_once(')')?;
    let times = behind.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok());
    times.sum::<Option<u64>>().map(|ticks| ticks as f64 / 100.0)
}
