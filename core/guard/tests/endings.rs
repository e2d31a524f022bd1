//! What follows from the end of an agent while PostgreSQL runs, and from the end of a job that is more than one process.

mod common;

use common::{BIN, Node, dead, own, signal, until};
use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};
use tanist_guard::clock::boot_now_ns;

/// A primary whose agent is gone and does not come back: each new one ends with `code`.
fn without_an_agent(code: i32) -> (Node, i32) {
    let mut node = Node::new();
    node.arm(5);
    let postmaster = node.start_primary(1, 5);
    lose_agent(&node, code);
    (node, postmaster)
}

fn lose_agent(node: &Node, code: i32) {
    node.refuse(code);
    signal(node.agent_pid, "KILL");
    until("a new agent has refused", || node.said("driver: refused") > 0);
}

/// What pg_controldata says of the cluster.
fn cluster_state(data: &Path) -> String {
    let output = Command::new(format!("{BIN}/pg_controldata")).env("LC_ALL", "C").arg(data).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("Database cluster state:")).unwrap().trim().to_owned()
}

#[test]
fn a_primary_outlives_agents_that_refuse_their_configuration() {
    let (mut node, postmaster) = without_an_agent(2);
    until("it is tried again and again", || node.said("driver: refused") > 4);
    assert_eq!((node.said("the agent ended (exit code 2)"), node.said("driver: why")), (1, 1), "the same is said once");
    node.refuse(3);
    until("the other end is told", || node.said("the agent ended (exit code 3)") > 0);
    assert_eq!(node.said("driver: why"), 2);
    assert!(!dead(postmaster));
    fs::remove_file(node.dir.path().join("refuse")).unwrap();
    node.accept();
    let status = node.expect("Status");
    assert!(status.contains(&format!("postmaster: Some((1, {postmaster}))")), "{status}");
    assert_eq!(node.ask("extend 5 200000", "extend"), "extend Extended");
    assert!(node.ask("page", "page ").starts_with("page Open fences=0"));

    until("it counts as running", || node.said("the agent runs again") > 0);
    node.refuse(3);
    node.tell("exit 3");
    until("what was said before is news again", || node.said("driver: why") == 3);
    until("the guard says its part too", || node.said("the agent ended (exit code 3)") == 2);
}

#[test]
fn attempts_are_spaced() {
    let (node, _) = without_an_agent(2);
    let before = node.said("driver: refused");
    let began = boot_now_ns();
    until("three seconds have passed", || boot_now_ns() > began + 3_000_000_000);
    let attempts = node.said("driver: refused") - before;
    assert!((1..8).contains(&attempts), "{attempts} attempts in three seconds");
}

#[test]
fn the_lease_decides_when_no_agent_comes() {
    let mut node = Node::new();
    node.arm(5);
    let postmaster = node.start_primary(1, 5);
    node.ask("arm 5 3000 3000 3000", "Armed");
    let limit = boot_now_ns() + 3_000_000_000;
    lose_agent(&node, 2);
    until("it is tried again", || node.said("driver: refused") > 2);
    assert!(!dead(postmaster));
    until("nothing of PostgreSQL is left", || dead(postmaster) && node.workers().is_empty());
    assert!(boot_now_ns() < limit, "fenced late");
    assert_eq!(node.exit_code(), Some(2), "without PostgreSQL the agent's exit code decides");
    assert!(node.data().join("standby.signal").exists());
}

#[test]
fn a_stop_without_an_agent_is_in_order() {
    let (mut node, postmaster) = without_an_agent(2);
    signal(node.guard_pid(), "TERM");
    assert!(node.exit_code().is_some());
    assert!(dead(postmaster));
    assert_eq!(cluster_state(&node.data()), "shut down");
    assert!(node.data().join("standby.signal").exists());
}

#[test]
fn a_second_signal_does_not_wait_for_a_shutdown() {
    let (mut node, postmaster) = without_an_agent(2);
    // A postmaster that does not get to its shutdown.
    signal(postmaster, "STOP");
    signal(node.guard_pid(), "TERM");
    until("the guard waits for it", || node.said("shutting PostgreSQL down") > 0);
    assert!(!dead(postmaster));
    signal(node.guard_pid(), "TERM");
    assert!(node.exit_code().is_some());
    assert!(dead(postmaster));
}

#[test]
fn the_deadline_holds_while_a_shutdown_takes_long() {
    let mut node = Node::new();
    node.arm(5);
    let postmaster = node.start_primary(1, 5);
    node.ask("arm 5 4000 4000 3000", "Armed");
    let limit = boot_now_ns() + 4_000_000_000;
    lose_agent(&node, 2);
    signal(postmaster, "STOP");
    signal(node.guard_pid(), "TERM");
    until("the guard waits for it", || node.said("shutting PostgreSQL down") > 0);
    assert!(node.exit_code().is_some());
    assert!(boot_now_ns() < limit && dead(postmaster));
    assert_eq!(node.said("the lease of epoch 5 is over"), 1);
}

#[test]
fn an_agent_that_gives_up_takes_postgres_with_it() {
    let mut node = Node::new();
    let postmaster = node.start_standby(1);
    node.tell("exit 4");
    assert_eq!(node.exit_code(), Some(2), "to who started the service it is a matter of configuration");
    assert!(dead(postmaster) && node.workers().is_empty());
}

#[test]
fn a_writer_has_ended_when_its_whole_group_has() {
    for killed in [true, false] {
        let mut node = Node::new();
        let (script, child) = (node.dir.path().join("script"), node.dir.path().join("child"));
        let last = if killed { "exec sleep 600" } else { "exit 0" };
        fs::write(&script, format!("sleep 600 &\necho $! > {}\n{last}\n", child.display())).unwrap();
        let spawned = node.ask(&format!("writer 1 /bin/sh {}", script.display()), "Spawned { job: 1");
        let leader = spawned.split("pid: ").nth(1).unwrap().trim_end_matches(" }").parse().unwrap();
        let mut left = None;
        until("the child is known", || {
            left = fs::read_to_string(&child).ok().and_then(|pid| pid.trim().parse().ok());
            left.is_some()
        });
        if killed {
            signal(leader, "KILL");
        }
        let exit = if killed { "Signal(9)" } else { "Code(0)" };
        node.expect(&format!("Exited {{ job: 1, exit: {exit} }}"));
        assert!(dead(left.unwrap()), "a process of the writer lives on");
        node.ask("writer 2 /bin/true", "Exited { job: 2, exit: Code(0) }");
    }
}

/// A writer of whose group one dead process cannot be reaped yet: its parent has left the group, lives, and does not look. This parent.
fn writer_with_a_remainder(node: &mut Node) -> i32 {
    let (script, parent) = (node.dir.path().join("script"), node.dir.path().join("parent"));
    let aside = format!("sleep 600 & echo $$ > {}; exec setsid sleep 600", parent.display());
    fs::write(&script, format!("sh -c '{aside}' &\nexec sleep 600\n")).unwrap();
    node.ask(&format!("writer 1 /bin/sh {}", script.display()), "Spawned { job: 1");
    let mut pid = None;
    until("the parent has a group of its own", || {
        pid = fs::read_to_string(&parent).ok().and_then(|pid| pid.trim().parse::<i32>().ok());
        let stat = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        let group = stat.and_then(|stat| stat.rsplit(')').next()?.split_whitespace().nth(2)?.parse().ok());
        pid.is_some() && group == pid
    });
    node.tell("kill 1");
    pid.unwrap()
}

#[test]
fn a_writer_that_is_not_gone_is_in_the_way_and_still_known() {
    let mut node = Node::new();
    let parent = writer_with_a_remainder(&mut node);
    assert!(node.ask("writer 2 /bin/true", "Refused").contains("job: 2, reason: WriterRuns"));
    node.tell("kill 1");
    signal(node.agent_pid, "KILL");
    node.accept();
    let status = node.expect("Status");
    assert!(status.contains("JobStatus { job: 1, "), "{status}");
    signal(parent, "KILL");
    node.expect("Exited { job: 1, exit: Signal(9) }");
    assert_eq!(node.said("hangs in the kernel"), 0);
    node.ask("writer 3 /bin/true", "Exited { job: 3, exit: Code(0) }");
}

#[test]
fn nobody_waits_for_ever_for_the_rest_of_a_writer() {
    let mut node = Node::new();
    let parent = writer_with_a_remainder(&mut node);
    node.expect("Exited { job: 1, exit: Signal(9) }");
    assert_eq!(node.said("hangs in the kernel"), 1);
    signal(parent, "KILL");
}

#[test]
fn a_large_environment_is_passed_on() {
    let variables = (0..1200).map(|n| (format!("V{n}"), n.to_string())).collect::<Vec<_>>();
    let mut node = Node::with(&variables);
    node.ask("heir 1 /bin/sh -c test\t\"$V1199\"\t=\t1199", "Exited { job: 1, exit: Code(0) }");
}

#[test]
fn a_long_log_of_postgres_is_put_aside() {
    const LONG: u64 = 65 << 20;
    let mut node = Node::new();
    let (log, old) = (node.dir.path().join("log"), node.dir.path().join("log.1"));
    for (path, length) in [(&log, LONG), (&old, 1)] {
        File::create(path).unwrap().set_len(length).unwrap();
        own(path);
    }
    node.start_standby(1);
    assert_eq!(fs::metadata(&old).unwrap().len(), LONG);
    assert!(fs::metadata(&log).unwrap().len() < 1 << 20);
    node.ask("stop 2 fast", "PostmasterExited");
    node.start_standby(3);
    assert_eq!(fs::metadata(&old).unwrap().len(), LONG, "a short log stays");
}
