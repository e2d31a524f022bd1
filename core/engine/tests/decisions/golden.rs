//! Golden scenarios: one file each, facts in, decisions out. `UPDATE_GOLDENS=1` rewrites the answers; read the difference before
//! committing it.

use crate::harness;

use std::{collections::BTreeSet, fs, path::PathBuf};
use tanist_engine::Reason;

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the scenarios").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_scenario_is_answered_as_written() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut wrong = Vec::new();
    for file in files() {
        let text = fs::read_to_string(&file).expect("a scenario");
        let Ok(answered) = std::panic::catch_unwind(|| harness::run(&text)) else {
            wrong.push(format!("{}: broken, see above", file.display()));
            continue;
        };
        if update {
            fs::write(&file, answered).expect("the scenario can be written");
        } else if let Some((line, (is, should))) =
            answered.lines().chain(std::iter::repeat("")).zip(text.lines()).enumerate().find(|(_, (is, should))| is != should)
        {
            wrong.push(format!("{}:{}\n  should be {should}\n  is        {is}", file.display(), line + 1));
        } else if answered.lines().count() != text.lines().count() {
            wrong.push(format!("{}: ends early or late", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Words no scenario ends in, each with the reason why not.
const NOT_IN_SCENARIOS: &[&str] = &[];

#[test]
fn every_reason_is_the_end_of_some_scenario_step() {
    let mut seen = BTreeSet::new();
    for file in files() {
        let text = fs::read_to_string(file).expect("a scenario");
        let kinds = text.lines().filter_map(|line| line.strip_prefix("= ")?.split_once(':').map(|(kind, _)| kind.to_owned()));
        seen.extend(kinds);
    }
    let missing: Vec<_> =
        Reason::ALL_KINDS.iter().filter(|kind| !seen.contains(**kind) && !NOT_IN_SCENARIOS.contains(kind)).collect();
    assert!(missing.is_empty(), "no scenario ends in {missing:?}");
}
