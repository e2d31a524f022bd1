//! The real process: found by its agent over standard input, without privileges, gone when the agent is.

mod common;

use common::{ALL, FakeAgent, fixture, role_change};
use std::{
    fs,
    os::unix::net::UnixStream,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tanist_broker::protocol::{FD_ENV, Limits, Outcome, Source, ToHost, VERSION};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tanist-plugin-host");

fn start() -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(PROGRAM);
    command.env(FD_ENV, "0").stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stderr(Stdio::piped());
    (command.spawn().unwrap(), ours)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[tokio::test]
async fn serves_without_privileges_and_ends_with_its_agent() {
    let (mut child, socket) = start();
    let mut agent = FakeAgent::greet(socket, None).await;
    agent.load(Source::Builtin("dns-update".to_owned()), &ALL, Limits::default()).await.unwrap();
    let story = agent.call(role_change("failover"), 20_000, 20_000).await;
    assert_eq!(story.done.outcome, Outcome::Ok);

    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    for (field, value) in
        [("CapEff", "0000000000000000"), ("CapPrm", "0000000000000000"), ("CapInh", "0000000000000000"), ("NoNewPrivs", "1")]
    {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        assert!(line.ends_with(value), "{line}");
    }
    assert_eq!(oom_score(child.id()), "1000");
    // Every thread, not only the first.
    for task in fs::read_dir(format!("/proc/{}/task", child.id())).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    }
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    println!("host with one plugin: {resident}");

    drop(agent);
    assert!(child.wait().unwrap().success());
}

/// The kernel's preference for ending this process when memory runs out.
fn oom_score(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().to_owned()
}

#[test]
fn the_compiler_is_killed_before_a_database() {
    let mut command = Command::new(PROGRAM);
    command.arg("compile").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut compiler = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while oom_score(compiler.id()) != "1000" {
        assert!(Instant::now() < deadline, "{}", oom_score(compiler.id()));
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(compiler.stdin.take());
    assert!(!compiler.wait().unwrap().success(), "nothing is no component");
}

#[tokio::test]
async fn an_agent_of_another_version_is_told() {
    let (child, socket) = start();
    socket.set_nonblocking(true).unwrap();
    let mut writer = tanist_broker::protocol::FrameWriter::new(tokio::net::UnixStream::from_std(socket).unwrap());
    writer.send(&ToHost::Hello { version: VERSION + 1 }).await.unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("install both from one release"), "{text}");
}

#[test]
fn started_by_hand_it_says_so() {
    let output = Command::new(PROGRAM).env_remove(FD_ENV).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("started by the agent"));
}

#[test]
fn check_says_what_to_add_and_its_exit_code_tells() {
    let output = run(&["check", "builtin:dns-update"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("missing    dns") && text.contains("plugins.dns-update.grants.dns:"), "{text}");

    let output = run(&["check", "builtin:dns-update", "--grants", "log,config,dns"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("exports    callbacks, reconcile") && text.ends_with("missing    nothing\n"), "{text}");
}

#[test]
fn check_of_a_damaged_component_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.wasm");
    fs::write(&path, &fs::read(fixture()).unwrap()[..1_000]).unwrap();
    let output = run(&["check", path.to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("damaged.wasm is not a valid component") && text.lines().count() == 1, "{text}");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for arguments in [&["dance"][..], &["check"], &["check", "f", "--grants", "teleport"], &["check", "f", "--grants"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
