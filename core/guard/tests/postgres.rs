//! The guard with a real PostgreSQL: each fault is asserted to have happened before its outcome is.

mod common;

use common::{Node, dead, psql, psql::Three, signal, state, until};
use tanist_guard::clock::boot_now_ns;

/// An answer is dated when this process reads it out of psql's pipe: on a loaded machine later than it was given. Where the fence
/// has no deadline to be early for, answers in the pipe get this long; the computing session would be seconds late.
const READING_LAG: u64 = 250_000_000;

/// `at=` of a report line.
fn at(line: &str) -> u64 {
    line.split("at=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// The boot deadline that the page shows.
fn deadline(node: &mut Node) -> u64 {
    let page = node.ask("page", "page ");
    page.split("boot: ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
}

/// A primary of epoch 5 and three sessions.
fn primary() -> (Node, i32, Three) {
    let mut node = Node::new();
    node.arm(5);
    let postmaster = node.start_primary(1, 5);
    let three = Three::open(node.dir.path());
    (node, postmaster, three)
}

/// After a restart every acknowledged insert is there, and nothing of the other two sessions.
fn assert_rows(node: &mut Node, acknowledged: usize) {
    node.arm(6);
    node.start_primary(100, 6);
    let count = |who: &str| psql::query(node.dir.path(), &format!("select count(*) from acks where who = '{who}'")).unwrap();
    assert!(count("loop").parse::<usize>().unwrap() >= acknowledged, "acknowledged inserts are lost");
    assert_eq!((count("burning"), count("idle")), ("0".into(), "0".into()));
}

#[test]
fn nothing_is_acknowledged_after_the_deadline() {
    for (boot, raw) in [(1500, 120_000), (120_000, 1500)] {
        let (mut node, postmaster, three) = primary();
        node.ask(&format!("arm 5 {boot} {raw} 3000"), "Armed");
        let limit = boot_now_ns() + 1_500_000_000;
        let fenced = node.expect("Fenced");
        assert!(fenced.contains("cause: Deadline"), "{fenced}");
        assert!(at(&fenced) <= limit, "fenced late by {} ms", (at(&fenced) - limit) / 1_000_000);
        let ended = node.expect("PostmasterExited");
        assert!(ended.contains("job: 1, stop: None, exit: Signal(9)"), "{ended}");
        assert!(dead(postmaster));
        assert_eq!(node.workers(), []);
        assert!(node.data().join("standby.signal").exists());
        let page = node.ask("page", "page ");
        assert!(page.starts_with("page Complete fences=1 postmaster=0 epoch=5 Fenced"), "{page}");
        assert_eq!(node.ask("extend 5 60000", "extend"), "extend Fenced");
        let acknowledged = three.finish();
        acknowledged.assert_none_after(limit);
        assert_rows(&mut node, acknowledged.looping.len());
    }
}

#[test]
fn an_extended_deadline_keeps_it_running() {
    let mut node = Node::new();
    node.ask("arm 5 120000 120000 3000", "Armed");
    let postmaster = node.start_primary(1, 5);
    node.ask("arm 5 1000 1000 3000", "Armed");
    let first = deadline(&mut node);
    assert_eq!(node.ask("extend 4 9000", "extend"), "extend NotArmed");
    assert_eq!(node.ask("extend 5 100", "extend"), "extend Shorter");
    assert_eq!(node.ask("extend 5 120000", "extend"), "extend Extended");
    until("the first deadline has passed", || boot_now_ns() > first);
    assert_eq!(psql::query(node.dir.path(), "select 1").as_deref(), Some("1"));
    assert!(!dead(postmaster));
    assert!(node.ask("page", "page ").starts_with("page Open fences=0"));
}

#[test]
fn a_killed_postmaster_is_followed_by_a_fence() {
    let (mut node, postmaster, three) = primary();
    let (limit, session) = (deadline(&mut node), node.workers());
    assert!(session.len() > 5, "backends and helpers: {session:?}");
    signal(postmaster, "KILL");
    let fenced = node.expect("Fenced");
    assert!(fenced.contains("cause: PostmasterDied"), "{fenced}");
    let ended = node.expect("PostmasterExited");
    assert!(ended.contains("stop: None, exit: Signal(9)"), "{ended}");
    assert_eq!(node.workers(), []);
    // A process that has left the data directory in its exit may still be on its way to be a zombie.
    until("all are dead", || session.iter().all(|pid| dead(*pid)));
    assert!(node.data().join("standby.signal").exists());
    assert_eq!(deadline(&mut node), limit, "the lease is not touched: PostgreSQL may be started again under it");
    let acknowledged = three.finish();
    acknowledged.assert_none_after(at(&fenced) + READING_LAG);
    assert_rows(&mut node, acknowledged.looping.len());
}

#[test]
fn a_killed_agent_is_started_again_and_finds_everything() {
    let (mut node, postmaster, three) = primary();
    let (limit, nonce, agent) = (deadline(&mut node), node.nonce.clone(), node.agent_pid);
    node.ask("helper 7 /bin/sleep 600", "Spawned { job: 7");
    signal(agent, "KILL");
    until("the agent is dead", || dead(agent));
    node.accept();
    assert_ne!(node.agent_pid, agent);
    assert_eq!(node.nonce, nonce);
    let status = node.expect("Status");
    assert!(status.contains(&format!("postmaster: Some((1, {postmaster}))")), "{status}");
    assert!(status.contains("JobStatus { job: 7"), "{status}");
    assert_eq!(deadline(&mut node), limit);
    assert_eq!(node.ask("extend 5 200000", "extend"), "extend Extended");
    let rows = || psql::query(node.dir.path(), "select count(*) from acks").unwrap().parse::<u64>().unwrap();
    let before = rows();
    until("inserts go on", || rows() > before);
    node.tell("fence");
    assert!(node.expect("Fenced").contains("cause: Requested"));
    assert!(three.finish().looping.len() as u64 > before);
}

#[test]
fn a_stopped_agent_does_not_keep_it_alive() {
    let (mut node, postmaster, three) = primary();
    node.ask("arm 5 1500 1500 3000", "Armed");
    let limit = deadline(&mut node);
    signal(node.agent_pid, "STOP");
    until("the agent is stopped", || state(node.agent_pid) == Some('T'));
    until("nothing of PostgreSQL is left", || dead(postmaster) && node.workers().is_empty());
    assert!(boot_now_ns() < limit, "fenced late");
    three.finish().assert_none_after(limit);
    assert_eq!(state(node.agent_pid), Some('T'));
    signal(node.agent_pid, "CONT");
    node.expect("Fenced");
}

#[test]
fn a_killed_guard_takes_postgres_with_it() {
    let (mut node, postmaster, three) = primary();
    node.tell("watch");
    node.ask("page", "page ");
    node.guard.kill().unwrap();
    node.guard.wait().unwrap();
    let killed = boot_now_ns();
    let fenced = node.expect("fenced at");
    assert!(fenced.contains("GuardDead ok=true"), "{fenced}");
    until("the postmaster shows as dead", || dead(postmaster));
    assert_eq!(node.workers(), []);
    assert!(node.data().join("standby.signal").exists());
    three.finish().assert_none_after(at(&fenced) + READING_LAG);
    println!("{} ms after the guard's death", (at(&fenced) - killed) / 1_000_000);
    until("the agent has ended", || dead(node.agent_pid));
}

#[test]
fn a_killed_guard_takes_postgres_with_it_even_if_the_agent_is_stopped() {
    let (mut node, postmaster, three) = primary();
    signal(node.agent_pid, "STOP");
    node.guard.kill().unwrap();
    node.guard.wait().unwrap();
    until("nothing is left", || dead(postmaster) && node.workers().is_empty());
    let gone = boot_now_ns();
    three.finish().assert_none_after(gone + READING_LAG);
    signal(node.agent_pid, "KILL");
}

#[test]
fn a_stopped_guard_is_replaced_by_the_agent_and_fences_when_it_continues() {
    let (mut node, postmaster, three) = primary();
    node.ask("arm 5 2500 2500 3000", "Armed");
    let limit = deadline(&mut node);
    node.tell("watch");
    signal(node.guard_pid(), "STOP");
    until("the guard is stopped", || state(node.guard_pid()) == Some('T'));
    let fenced = node.expect("fenced at");
    assert!(fenced.contains("GuardSilent ok=true") || fenced.contains("Deadline ok=true"), "{fenced}");
    assert!(at(&fenced) < limit);
    // Killed, it never runs again; that it shows as dead takes the kernel a moment on a busy machine.
    until("the postmaster shows as dead", || dead(postmaster));
    assert_eq!(node.workers(), []);
    three.finish().assert_none_after(limit);
    until("the deadline has passed", || boot_now_ns() > limit);
    signal(node.guard_pid(), "CONT");
    node.expect("Fenced");
    let page = node.ask("page", "page ");
    assert!(page.starts_with("page Complete"), "{page}");
}

#[test]
fn a_guard_that_continues_after_the_deadline_fences_at_once() {
    let (mut node, postmaster, three) = primary();
    node.ask("arm 5 1200 1200 3000", "Armed");
    let limit = deadline(&mut node);
    signal(node.guard_pid(), "STOP");
    until("the guard is stopped", || state(node.guard_pid()) == Some('T'));
    until("the deadline has passed", || boot_now_ns() > limit + 300_000_000);
    assert!(!dead(postmaster), "without a guard and without an agent's watch nobody fences");
    // Read before: the guard may be done before this process runs again.
    let continued = boot_now_ns();
    signal(node.guard_pid(), "CONT");
    let fenced = node.expect("Fenced");
    assert!(fenced.contains("cause: Deadline"), "{fenced}");
    println!("fenced {} ms after it continued", (at(&fenced) - continued) / 1_000_000);
    assert_eq!(node.workers(), []);
    let acknowledged = three.finish();
    assert!(acknowledged.burning.is_empty() && acknowledged.idle.is_empty());
}

#[test]
fn only_an_armed_guard_makes_writable() {
    let mut node = Node::new();
    let server = node.server();
    let primary = |epoch: u64| format!("primary 1 {epoch} {server}");
    assert!(node.ask(&primary(5), "Refused").contains("job: 1, reason: NotArmed"));
    node.ask("arm 5 120000 120000 3000", "Armed");
    assert!(node.ask(&primary(4), "Refused").contains("job: 1, reason: WrongEpoch"));
    assert!(node.ask("arm 4 120000 120000 3000", "Refused").contains("job: 0, reason: StaleEpoch"));
    assert!(node.ask("arm 6 200 120000 3000", "Refused").contains("job: 0, reason: NoTimeLeft"));
    node.ask("disarm", "Disarmed");

    let postmaster = node.start_standby(2);
    assert!(node.data().join("standby.signal").exists());
    assert!(node.ask("promote 3 5 2", "Refused").contains("job: 3, reason: NotArmed"));
    node.arm(7);
    assert!(node.ask("promote 3 5 2", "Refused").contains("job: 3, reason: WrongEpoch"));
    node.ask("arm 7 700 700 3000", "Armed");
    node.expect("Fenced");
    node.expect("PostmasterExited");
    assert!(node.ask("promote 3 7 2", "Refused").contains("job: 3, reason: NoPostmaster"));
    assert!(node.ask(&primary(7), "Refused").contains("job: 1, reason: NotArmed"));
    assert!(dead(postmaster));

    // A standby may be started after a fence, and is not fenced by what was before.
    node.tell("watch");
    let postmaster = node.start_standby(4);
    assert!(node.ask("page", "page ").ends_with("epoch=7 Unarmed"));
    assert!(!node.data().join("promote").exists());
    node.arm(8);
    // Armed is not enough: the timeline must be the one that is claimed, for this very epoch.
    node.tell("claimed 7 2");
    assert!(node.ask("promote 5 8 2", "Refused").contains("job: 5, reason: NotClaimed"));
    node.tell("claimed 8 2");
    assert!(node.ask("promote 5 8 3", "Refused").contains("job: 5, reason: NotClaimed"));
    assert!(node.ask("claimed 8 3", "Refused").contains("job: 0, reason: ClaimedBefore"));
    assert!(node.ask("claimed 7 9", "Refused").contains("job: 0, reason: ClaimedBefore"));
    assert!(!node.data().join("promote").exists());
    assert!(node.ask("promote 5 8 2", "Exited").contains("job: 5, exit: Code(0)"));
    node.wait_writable(true);
    assert!(node.ask("disarm", "Refused").contains("MayBeWritable"));
    assert!(node.ask("page", "page ").contains(&format!("page Open fences=1 postmaster={postmaster} ")));

    node.tell("stop 6 fast");
    let ended = node.expect("PostmasterExited");
    assert!(ended.contains("job: 4, stop: Some(6), exit: Code(0)"), "{ended}");
    assert!(node.data().join("standby.signal").exists());
    assert!(node.ask("page", "page ").starts_with("page Complete fences=1 postmaster=0"));
    node.ask("disarm", "Disarmed");
    assert_eq!(node.end(), Some(0));
}

#[test]
fn one_writer_at_a_time() {
    let mut node = Node::new();
    let server = node.server();
    node.ask("writer 1 /bin/sleep 600", "Spawned { job: 1");
    assert!(node.ask("writer 2 /bin/sleep 600", "Refused").contains("job: 2, reason: WriterRuns"));
    assert!(node.ask(&format!("standby 3 {server}"), "Refused").contains("job: 3, reason: WriterRuns"));
    assert!(node.ask("helper 1 /bin/true", "Refused").contains("job: 1, reason: DuplicateJob"));
    node.ask("helper 4 /bin/true", "Exited { job: 4, exit: Code(0) }");
    node.ask("kill 1", "Exited { job: 1, exit: Signal(9) }");
    assert!(node.ask("kill 1", "Refused").contains("job: 1, reason: UnknownJob"));
    node.start_standby(5);
    assert!(node.ask("writer 6 /bin/true", "Refused").contains("job: 6, reason: WriterRuns"));
    assert!(node.ask("stop 7 immediate", "PostmasterExited").contains("stop: Some(7)"));
    node.ask("writer 8 /no/such/program", "Exited { job: 8, exit: Code(127) }");
    assert!(node.ask("stop 9 fast", "Refused").contains("job: 9, reason: NoPostmaster"));
}

#[test]
fn an_unguarded_postgres_is_fenced_at_the_start() {
    let (mut node, postmaster, three) = primary();
    // Everybody who watches is stopped or dead; the parent-death signal is lost on a stopped postmaster until it continues.
    signal(postmaster, "STOP");
    node.guard.kill().unwrap();
    node.guard.wait().unwrap();
    signal(node.agent_pid, "KILL");
    assert!(!node.workers().is_empty());
    let first = node.guard_pid();
    node.guard = common::guard_command(node.dir.path(), "state").spawn().unwrap();
    node.accept();
    assert_ne!(node.guard_pid(), first);
    let status = node.expect("Status");
    assert!(status.contains("found_unguarded: true"), "{status}");
    assert!(status.contains("postmaster: None, fence: Complete"), "{status}");
    assert_eq!(node.workers(), []);
    assert!(dead(postmaster) && node.data().join("standby.signal").exists());
    three.finish().assert_none_after(boot_now_ns());
}
