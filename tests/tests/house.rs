//! The rules of the house: which crate may know which, and what a source file looks like.

use serde_json::Value;
use std::{collections::BTreeSet, path::Path, process::Command};

/// Every permitted edge between our crates; `ARCHITECTURE.md` draws the same picture.
const EDGES: &[(&str, &[&str])] = &[
    ("tanist-engine", &[]),
    ("tanist-patroni", &["tanist-engine"]),
    ("tanist-dcs", &["tanist-engine", "tanist-patroni"]),
    ("tanist-postgres", &["tanist-engine"]),
    ("tanist-guard", &["tanist-engine"]),
    ("tanist-dns", &["tanist-engine"]),
    ("tanist-queue", &["tanist-engine"]),
    ("tanist-broker", &["tanist-engine", "tanist-queue"]),
    ("tanist-http", &[]),
    ("tanist-plugins", &["tanist-broker"]),
    (
        "tanist",
        &[
            "tanist-engine",
            "tanist-patroni",
            "tanist-dcs",
            "tanist-postgres",
            "tanist-guard",
            "tanist-dns",
            "tanist-broker",
            "tanist-http",
        ],
    ),
    ("tanist-sim", &["tanist-engine", "tanist-queue"]),
    ("tanist-tests", &[]),
];

/// Dependencies only one crate may have: the sandbox, and nothing else of weight in the engine.
const ONLY: &[(&str, &str)] =
    &[("wasmtime", "tanist-plugins"), ("wasmtime-wasi", "tanist-plugins"), ("etcd-client", "tanist-dcs")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// (package, dependency) for every dependency that is linked into what we ship.
fn shipped_edges() -> Vec<(String, String)> {
    let mut edges = Vec::new();
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            if dependency["kind"].is_null() {
                edges.push((name.to_owned(), dependency["name"].as_str().expect("name").to_owned()));
            }
        }
    }
    assert!(edges.len() > 20, "cargo metadata lists too few dependencies to be true: {edges:?}");
    edges
}

#[test]
fn crates_know_only_whom_they_may() {
    let edges = shipped_edges();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    for (from, to) in &edges {
        let allowed =
            EDGES.iter().find(|(name, _)| name == from).unwrap_or_else(|| panic!("crate {from} is not in the picture")).1;
        if to.starts_with("tanist") {
            assert!(ours.contains(to.as_str()), "crate {to} is not in the picture");
            assert!(allowed.contains(&to.as_str()), "{from} must not know {to}");
        }
    }
}

#[test]
fn heavy_dependencies_stay_where_they_belong() {
    for (from, to) in shipped_edges() {
        if let Some((dependency, owner)) = ONLY.iter().find(|(dependency, _)| *dependency == to) {
            assert!(from == *owner || from == "tanist-tests", "{dependency} is linked into {owner} only, not into {from}");
        }
        if from == "tanist-engine" {
            assert!(["serde", "thiserror"].contains(&to.as_str()), "the engine depends on serde and thiserror, not on {to}");
        }
    }
}

/// All of our Rust files.
fn sources() -> Vec<(String, String)> {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output();
    let listed =
        output.ok().filter(|output| output.status.success()).map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let names: Vec<String> = match listed {
        Some(text) => text.lines().map(str::to_owned).collect(),
        None => walk(root()),
    };
    assert!(names.len() > 50, "too few sources found: {}", names.len());
    names.into_iter().filter_map(|name| std::fs::read_to_string(root().join(&name)).ok().map(|text| (name, text))).collect()
}

/// The sources of a tree without git, as in an unpacked archive.
fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).expect("a readable tree").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                pending.push(path);
            } else if name.ends_with(".rs") {
                found.push(path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[test]
fn files_say_what_they_are_and_stay_small() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or(&text).lines().count();
        if production > 420 {
            faults.push(format!("{name}: {production} lines; split it"));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{name}: does not begin with //!"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > 140 {
                faults.push(format!("{name}:{}: longer than 140 characters", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nobody_promotes_but_the_guard() {
    let banned = ["pg_pro", "mote("].concat();
    let faults: Vec<_> = sources().into_iter().filter(|(_, text)| text.contains(&banned)).map(|(name, _)| name).collect();
    assert!(faults.is_empty(), "SQL promotion in {faults:?}: promotion belongs to the guard, while it is armed");
}
