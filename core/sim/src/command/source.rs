//! Mutants of the shipped source: one scratch copy with all of them, built once, and for each the first seed that catches it.

use crate::{
    branching::FAMILY,
    case::{Case, Cases},
    substitution::{Edit, Substitution, apply, parse, replace},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The list, from the root of the repository.
const LIST: &str = "core/sim/mutants/engine.txt";
/// What is copied.
const COPIED: [&str; 6] = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "core/engine", "core/sim", "plugins/queue"];
/// The names under which the copy takes the number of the mutant in force.
const VARIABLE: &str = "TANIST_MUTANT";
/// Schedules tried at once.
const BATCH: u64 = 32 * FAMILY;

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn edit(path: &Path, change: impl Fn(&str) -> String) -> io::Result<()> {
    fs::write(path, change(&fs::read_to_string(path)?))
}

/// A workspace of engine, queue and simulator alone, in which a variable of the environment chooses the mutant.
fn scratch(root: &Path, to: &Path, list: &[Substitution]) -> Result<(), String> {
    let made = || -> io::Result<()> {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to.join("core"))?;
        fs::create_dir_all(to.join("plugins"))?;
        COPIED.iter().try_for_each(|name| copy(&root.join(name), &to.join(name)))?;
        edit(&to.join("Cargo.toml"), |text| {
            let members = text.find("members = [").unwrap_or(0);
            let end = text[members..].find(']').map_or(members, |at| members + at + 1);
            format!("{}members = [\"core/engine\", \"core/sim\", \"plugins/queue\"]{}", &text[..members], &text[end..])
        })?;
        edit(&to.join("core/engine/src/lib.rs"), |text| format!("{text}{SWITCH}"))?;
        edit(&to.join("core/sim/src/main.rs"), |text| text.replacen("-> ExitCode {\n", CHOICE, 1))
    };
    made().map_err(|error| format!("{}: {error}", to.display()))?;
    // The audit is a second opinion of the same crate: a mutant has to be caught by what it does to the cluster.
    let audited = Edit { file: TURN.to_owned(), old: AUDIT.to_owned(), new: "None".to_owned() };
    replace(to, &audited, "!tanist_engine::mutant(0)")?;
    apply(list, to)
}

const TURN: &str = "core/sim/src/world/agent.rs";
const AUDIT: &str = "audit(&agent.policy, &agent.seen, &decision, now.boot).err()";
const SWITCH: &str = "
/// The mutant in force.
pub static MUTANT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
/// Whether it is this one.
pub fn mutant(number: u32) -> bool {
    MUTANT.load(std::sync::atomic::Ordering::Relaxed) == number
}
";
const CHOICE: &str = "-> ExitCode {
    let number = std::env::var(\"TANIST_MUTANT\").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    tanist_engine::MUTANT.store(number, std::sync::atomic::Ordering::Relaxed);
";

fn build(at: &Path) -> Result<PathBuf, String> {
    let target = at.join("build");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built = Command::new(cargo)
        .args(["build", "--offline", "--quiet", "-p", "tanist-sim", "--target-dir"])
        .arg(&target)
        .current_dir(at.join("source"))
        .env("RUSTFLAGS", "-Awarnings")
        .status()
        .map_err(|error| error.to_string())?;
    if built.success() { Ok(target.join("debug/tanist-sim")) } else { Err("the mutants do not compile".to_owned()) }
}

/// What `fuzz` is told of where to begin.
fn which(cases: Cases, index: u64) -> Vec<String> {
    let case = cases.at(index);
    match cases {
        Cases::From(_) => vec!["--seed".to_owned(), case.seed.to_string()],
        Cases::Around(..) => vec!["--around".to_owned(), case.to_string(), "--seed".to_owned(), case.variation.to_string()],
    }
}

/// This one alone.
fn alone(case: Case) -> Cases {
    Cases::Around(case, case.variation)
}

/// The first violation of a mutant; nothing: it lives.
fn caught(program: &Path, number: usize, cases: Cases, schedules: u64, jobs: usize) -> Result<Option<String>, String> {
    for begin in (0..schedules).step_by(BATCH as usize) {
        let ran = Command::new(program)
            .args(["fuzz", "--jobs", &jobs.to_string(), "--schedules", &BATCH.min(schedules).to_string()])
            .args(which(cases, begin))
            .env(VARIABLE, number.to_string())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        match ran.status.code() {
            Some(0) => {}
            Some(1) => {
                let text = String::from_utf8_lossy(&ran.stdout).lines().next().unwrap_or_default().to_owned();
                return innocent(program, number, &text).map(|()| Some(text));
            }
            other => return Err(format!("mutant {number} ended with {other:?}")),
        }
    }
    Ok(None)
}

/// The seed that catches a mutant breaks nothing without it: else it is no catch, and something else is to be mended first.
fn innocent(program: &Path, number: usize, text: &str) -> Result<(), String> {
    let case: Case = text.split([' ', ':']).nth(1).unwrap_or_default().parse()?;
    let ran = Command::new(program)
        .args(["fuzz", "--jobs", "1", "--schedules", "1"])
        .args(which(alone(case), 0))
        .env(VARIABLE, "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| error.to_string())?;
    if number == 0 || ran.success() { Ok(()) } else { Err(format!("without any mutant too: {text}")) }
}

/// The command. `false`: a mutant lives, or the source as it is breaks something.
pub fn source(root: &Path, first: u64, schedules: u64, jobs: usize, only: Option<&str>) -> Result<bool, String> {
    let list = fs::read_to_string(root.join(LIST)).map_err(|error| format!("{LIST}: {error}"))?;
    let list = parse(&list)?;
    let root = root.canonicalize().map_err(|error| error.to_string())?;
    let at = root.join("target/mutants");
    scratch(&root, &at.join("source"), &list)?;
    let program = build(&at)?;
    if let Some(text) = caught(&program, 0, first.into(), BATCH, jobs)? {
        return Err(format!("without any mutant: {text}"));
    }
    let (mut living, mut seen, mut unseen) = (Vec::new(), 0, 0);
    for (number, mutant) in list.iter().enumerate().filter(|(_, mutant)| only.is_none_or(|only| mutant.name == only)) {
        if let Some(why) = mutant.unseen.as_ref().filter(|_| only.is_none()) {
            println!("{}: not seen: {why}", mutant.name);
            unseen += 1;
            continue;
        }
        let known = mutant.seed.map_or(Ok(None), |case| caught(&program, number + 1, alone(case), 1, 1))?;
        let found = if known.is_some() { known } else { caught(&program, number + 1, first.into(), schedules, jobs)? };
        match found {
            Some(text) => {
                println!("{}: caught by {text}", mutant.name);
                seen += 1;
            }
            None => {
                println!("{}: LIVES after {schedules} schedules ({})", mutant.name, mutant.why);
                living.push(mutant.name.as_str());
            }
        }
    }
    println!("source mutants caught={seen} unseen={unseen} living={} {}", living.len(), living.join(" "));
    Ok(living.is_empty())
}
