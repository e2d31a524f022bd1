//! `tanist-sim`: hunts the engine with random schedules.

use std::{path::Path, process::ExitCode};
use tanist_sim::{
    case::{Case, Cases},
    command,
    exhaustive::Scope,
    mutant::Mutant,
};

const HELP: &str = "tanist-sim: a deterministic simulator of whole clusters over the shipped engine

  fuzz --schedules N --seed S [--jobs N]     many schedules, 32 of each seed; the last line is a summary; exit code 1 on a violation
    [--around SEED]                          variations of this one, from the Sth on
  run SEED [--save FILE]                     one schedule as a story; FILE gets its decisions
  shrink SEED                                the smallest list of faults that still breaks the same invariant
  mixed SEED                                 one schedule as a story, beside a Patroni
  replay FILE                                decides a flight recorder's decisions again and compares
  exhaustive [--scope small|full]            every interleaving of small clusters; exit code 1 and the shortest story on a violation
    [--nodes N --epochs N --faults N --writes N] [--states N]   of this cluster alone; gives up after so many states
  mutants [--schedules N] [--seed S]         switches rules off and shows which seed catches each
  mutants --source DIR [--only NAME]         the same with bad changes of the engine's source, from the repository in DIR

A SEED may also be SEED.PATH, another schedule of its family, which begins alike and goes another way when faults begin; or SEED/VARIATION,
with its faults changed a little; and have letters behind it. b is the brisk form, which fuzz runs: time in which nothing goes on is left
out. e: agents that write again what the store has not shown yet.

  --mutant NAME                              with fuzz, run, shrink, exhaustive: switch that rule off";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<bool, String> {
    let Some((name, rest)) = arguments.split_first() else { return Err(HELP.to_owned()) };
    if ["help", "--help", "-h"].iter().any(|help| name == help || rest.iter().any(|word| word == help)) {
        println!("{HELP}");
        return Ok(true);
    }
    check(name, rest)?;
    let mutant = match option(rest, "--mutant") {
        None => None,
        Some(name) => Some(Mutant::named(&name).ok_or(format!("no mutant {name}; there are {:?}", Mutant::ALL))?),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = number(rest, "--jobs")?.map_or(cores, |jobs| jobs.clamp(1, 256) as usize);
    let first = number(rest, "--seed")?.unwrap_or(1);
    let seed = || rest.first().ok_or(format!("{name} needs a seed")).and_then(|text| text.parse::<Case>());
    let cases = match option(rest, "--around") {
        Some(case) => Cases::Around(case.parse()?, first),
        None => Cases::From(first),
    };
    let told = |error: std::io::Error| error.to_string();
    match name.as_str() {
        "fuzz" => Ok(command::fuzz::fuzz(cases, number(rest, "--schedules")?.unwrap_or(10_000), jobs, mutant)),
        "run" => command::story::run(seed()?, mutant, option(rest, "--save").as_deref().map(Path::new)).map_err(told),
        "shrink" => Ok(command::shrink::shrink(seed()?, mutant)),
        "mixed" => Ok(command::story::mixed(seed()?)),
        "replay" => command::replay::replay(Path::new(rest.first().ok_or("replay needs a file")?)).map_err(told),
        "exhaustive" => {
            let scope = option(rest, "--scope").unwrap_or("full".to_owned());
            let mut scopes = command::exhaustive::scopes(&scope).ok_or(format!("no scope {scope}; there are small and full"))?;
            if let Some(nodes) = number(rest, "--nodes")? {
                let bound = |name, most: u64| Ok::<_, String>(number(rest, name)?.unwrap_or(1).min(most) as u8);
                let (epochs, faults, writes) = (bound("--epochs", 9)?, bound("--faults", 9)?, bound("--writes", 9)?);
                let states = number(rest, "--states")?.map_or(usize::MAX, |states| states as usize);
                let scope = |mode| Scope { writes, states, ..Scope::of(nodes.clamp(2, 3) as u8, mode, epochs, faults) };
                scopes = vec![scope(true), scope(false)];
            }
            Ok(command::exhaustive::exhaustive(&scopes, jobs, mutant))
        }
        "mutants" if option(rest, "--source").is_some() => {
            let root = option(rest, "--source").unwrap_or_default();
            let schedules = number(rest, "--schedules")?.unwrap_or(10_000);
            command::source::source(Path::new(&root), first, schedules, jobs, option(rest, "--only").as_deref())
        }
        "mutants" => Ok(command::mutants::mutants(first, number(rest, "--schedules")?.unwrap_or(200_000), jobs)),
        _ => Err(HELP.to_owned()),
    }
}

/// How many words a command takes first, and its options, each of which has a value.
fn options(name: &str) -> Option<(usize, &'static [&'static str])> {
    Some(match name {
        "fuzz" => (0, &["--schedules", "--seed", "--around", "--jobs", "--mutant"]),
        "run" => (1, &["--save", "--mutant"]),
        "shrink" => (1, &["--mutant"]),
        "mixed" | "replay" => (1, &[]),
        "exhaustive" => (0, &["--scope", "--nodes", "--epochs", "--faults", "--writes", "--states", "--jobs", "--mutant"]),
        "mutants" => (0, &["--schedules", "--seed", "--jobs", "--source", "--only"]),
        _ => return None,
    })
}

/// A misspelt option is told, and not overlooked.
fn check(name: &str, rest: &[String]) -> Result<(), String> {
    let (first, options) = options(name).ok_or_else(|| format!("no command {name}\n\n{HELP}"))?;
    let mut words = rest.iter().skip(first);
    while let Some(word) = words.next() {
        if !options.contains(&word.as_str()) {
            return Err(format!("{name} has no option {word}; it has: {}", options.join(" ")));
        }
        if words.next().is_none_or(|value| value.starts_with("--")) {
            return Err(format!("{word} needs a value"));
        }
    }
    Ok(())
}

fn option(arguments: &[String], name: &str) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).cloned()
}

fn number(arguments: &[String], name: &str) -> Result<Option<u64>, String> {
    match option(arguments, name) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| format!("{name} needs a number, not {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_a_command_does_not_know_is_an_error() {
        for good in ["fuzz --schedules 5 --seed 7", "run 7 --save x", "exhaustive", "mutants --source . --only x"] {
            let all = words(good);
            assert_eq!(check(&all[0], &all[1..]), Ok(()), "{good}");
        }
        let told = |line: &str| {
            let all = words(line);
            check(&all[0], &all[1..]).unwrap_err()
        };
        assert!(told("fuzz --schedule 5").starts_with("fuzz has no option --schedule; it has: --schedules"));
        assert_eq!(told("fuzz --seed"), "--seed needs a value");
        assert_eq!(told("fuzz --seed --jobs 2"), "--seed needs a value");
        assert!(told("hunt 5").starts_with("no command hunt"));
    }
}
