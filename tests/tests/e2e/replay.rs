//! Flight recorders of real nodes, decided once more: bit for bit the same, and not when a line was changed.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tanist_tests::{
    cluster::Cluster,
    command::{self, Answer},
    node::Options,
    place, rest,
    store::Kind,
    wait,
};

const SLACK: Duration = Duration::from_secs(20);

/// The simulator's `replay` and the command's.
fn replays(file: &Path) -> [Answer; 2] {
    let sim = command::finish(Command::new(place::staged("tanist-sim")).arg("replay").arg(file));
    [sim, command::tanist(&["replay".as_ref(), file.as_os_str()])]
}

/// The number behind a word of the last line.
fn count(answer: &Answer, word: &str) -> u64 {
    let last = answer.out.lines().last().unwrap_or_default();
    let found = last.split_whitespace().find_map(|part| part.strip_prefix(&format!("{word}=")));
    found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {word} in {answer:?}"))
}

/// What a node was told to do, as far as its recorder has it.
fn jobs(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a recorder");
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let actions = lines.flat_map(|line| line["decision"]["actions"].as_array().cloned().unwrap_or_default());
    actions.map(|action| action.to_string()).collect()
}

#[test]
fn what_real_nodes_decided_is_decided_again_bit_for_bit() {
    let options = Options { synchronous: true, ..Options::default() };
    let mut cluster = Cluster::start(Kind::Local, 3, &options);
    let writer = cluster.writer();
    let first = cluster.primary().expect("a primary");
    let second = wait::until("a standby is named", SLACK, || cluster.named_standby());
    let body = format!(r#"{{"leader":"{}","candidate":"{}"}}"#, cluster.nodes[first].name, cluster.nodes[second].name);
    let (code, text) = rest::request("POST", cluster.nodes[first].rest, "/switchover", &body).expect("an answer");
    assert_eq!(code, 200, "{text}");
    assert_eq!(cluster.next_primary(first, SLACK), second, "a switchover");
    cluster.settled(true);
    cluster.nodes[second].kill();
    let third = cluster.next_primary(second, SLACK);
    assert_ne!(third, second, "a failover");
    cluster.nodes[second].start();
    cluster.verdict(writer, true);
    let files: Vec<PathBuf> = cluster.nodes.iter().map(|node| node.state().join("flight.jsonl")).collect();
    for (node, file) in files.iter().enumerate() {
        for answer in replays(file) {
            println!("{}: {}", cluster.nodes[node].name, answer.out.lines().last().unwrap_or_default());
            assert_eq!((answer.code, count(&answer, "different")), (0, 0), "{answer:?}");
            assert!(count(&answer, "same") >= 10, "few decisions: {}", answer.out);
        }
    }
    for promoted in [second, third] {
        assert!(
            jobs(&files[promoted]).iter().any(|job| job.contains("Promote")),
            "{} was promoted",
            cluster.nodes[promoted].name
        );
    }
    changed_lines_are_noticed(&files[third], cluster.place.path());
}

/// A change of the decision, of what it was made from, or of its form.
fn changed_lines_are_noticed(file: &Path, directory: &Path) {
    let text = fs::read_to_string(file).expect("a recorder");
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(r#"{"Run":{"Promote""#)).expect("the promotion");
    let changes = [
        (r#""wake_at":"#, r#""wake_at":1"#),
        (r#""handed_over":0"#, r#""handed_over":7"#),
        (r#""stopping":false"#, r#""stopping":true"#),
        (r#""seen":{"#, r#""seen":{"later":true,"#),
    ];
    for (is, shall) in changes {
        let changed = lines[at].replacen(is, shall, 1);
        assert_ne!(changed, lines[at], "{is}");
        let mut all = lines.clone();
        all[at] = &changed;
        let path = directory.join("changed.jsonl");
        fs::write(&path, all.join("\n") + "\n").expect("written");
        for answer in replays(&path) {
            assert!(answer.code == 1 && count(&answer, "different") >= 1, "{shall}: {answer:?}");
        }
    }
}
