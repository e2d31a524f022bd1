//! The guard as a program: command line, lock, its agent's endings, signals. Without PostgreSQL.

mod common;

use common::{Node, guard_command, signal, until};
use std::{
    fs,
    process::{Command, Stdio},
};

fn stderr_of(mut command: Command) -> (Option<i32>, String) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_second_guard_of_the_same_data_directory_refuses() {
    let mut node = Node::new();
    for state_dir in ["state", "another"] {
        let (code, error) = stderr_of(guard_command(node.dir.path(), state_dir));
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("another guard") && error.contains("owns the data directory"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let pid = fs::read_to_string(node.dir.path().join("state/guard.lock")).unwrap();
    assert_eq!(pid.trim(), node.guard_pid().to_string());
    assert_eq!(node.end(), Some(0));
    let (code, error) = stderr_of({
        let mut command = Command::new(env!("CARGO_BIN_EXE_tanist-guard"));
        command.arg("--data-dir").arg(node.data()).arg("--state-dir").arg(node.dir.path().join("state"));
        command.args(["--", "/bin/true"]);
        command
    });
    assert_eq!((code, error.contains("another guard")), (Some(0), false), "the lock ends with the guard: {error}");
}

#[test]
fn usage_is_one_line() {
    let (code, error) = stderr_of(Command::new(env!("CARGO_BIN_EXE_tanist-guard")));
    assert_eq!((code, error.lines().count()), (Some(2), 1), "{error}");
}

#[test]
fn the_agents_exit_code_decides() {
    for code in [0, 3, 9] {
        let mut node = Node::new();
        node.ask("writer 1 /bin/sleep 600", "Spawned { job: 1");
        node.tell(&format!("exit {code}"));
        assert_eq!(node.exit_code(), Some(code));
    }
    let mut node = Node::new();
    let nonce = node.nonce.clone();
    for code in [101, 10] {
        let before = node.agent_pid;
        node.tell(&format!("exit {code}"));
        node.accept();
        assert_ne!(node.agent_pid, before);
        assert_eq!(node.nonce, nonce);
    }
}

#[test]
fn a_missing_agent_is_a_configuration_error() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tanist-guard"));
    command.arg("--data-dir").arg(dir.path().join("data")).arg("--state-dir").arg(dir.path().join("state"));
    command.args(["--", "/no/such/agent"]);
    let (code, error) = stderr_of(command);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("cannot execute the agent"), "{error}");
}

#[test]
fn sigterm_is_passed_on_to_the_agent() {
    for name in ["TERM", "INT"] {
        let mut node = Node::new();
        let agent = node.agent_pid;
        signal(node.guard_pid(), name);
        // The driver does not handle it: it dies of it and is not started again.
        assert_eq!(node.exit_code(), Some(1));
        until("the agent is dead", || common::dead(agent));
    }
}
