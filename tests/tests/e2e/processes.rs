//! Faults of processes: killed and frozen, on both stores. A client holds sessions on every node from before the fault; each test first
//! proves that its fault took place.

use rustix::process::Signal;
use std::time::Duration;
use tanist_tests::{
    cluster::Cluster,
    node::Options,
    process::{self, Process},
    store::Kind,
    wait,
};

/// The lease, as long as the tests use it.
const TTL: Duration = Duration::from_secs(5);
/// A busy machine may need this much longer than the protocol.
const SLACK: Duration = Duration::from_secs(15);

/// The same test on the embedded store and on etcd.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod local { $(#[test] fn $name() { super::$name(super::Kind::Local) })+ }
        mod etcd { $(#[test] fn $name() { super::$name(super::Kind::Etcd) })+ }
    };
}

on_both_stores!(
    postmaster_killed,
    agent_killed,
    guard_killed,
    guard_and_agent_killed,
    agent_frozen_past_the_lease,
    guard_frozen,
    postgresql_frozen,
    node_frozen_postgresql_first,
    node_frozen_guard_first,
    node_killed,
);

fn start(kind: Kind) -> Cluster {
    Cluster::start(kind, 3, &Options::default())
}

/// In synchronous mode a killed postmaster is fenced and the standby takes over; nothing is lost.
fn postmaster_killed(kind: Kind) {
    let cluster = start(kind);
    let writer = cluster.writer();
    let (old, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let postmaster = cluster.nodes[old].pids().postmaster.expect("a postmaster");
    let fault = Cluster::now();
    process::kill(postmaster);
    let new = cluster.next_primary(old, TTL + SLACK);
    assert!(cluster.epoch() > epoch, "a new leader has a new epoch");
    assert!(cluster.timeline(new) > 1, "a promotion opens a timeline");
    let notes = cluster.verdict(writer, true);
    println!("write gap {:?}", notes.gap_after(fault));
}

/// An agent that is killed comes back beside the same PostgreSQL: no failed write, same epoch.
fn agent_killed(kind: Kind) {
    let cluster = start(kind);
    let writer = cluster.writer();
    let (old, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let before = cluster.nodes[old].pids();
    let fault = Cluster::now();
    process::kill(before.agent);
    let after = wait::until("the guard starts the agent again", Duration::from_secs(5), || {
        let pids = cluster.nodes[old].pids();
        if pids.agent != 0 && pids.agent != before.agent { Ok(pids) } else { Err(format!("{pids:?}")) }
    });
    // Past the lease as it stood when the agent died: whatever holds now was renewed by the new agent.
    let deadline = fault + (TTL + Duration::from_secs(2)).as_nanos() as u64;
    wait::until("the lease has been renewed by the new agent", TTL + SLACK, || {
        let late = Cluster::now() > deadline;
        if late && cluster.nodes[old].get("/primary") == 200 { Ok(()) } else { Err(format!("late {late}")) }
    });
    assert_eq!(after.postmaster, before.postmaster, "the same postmaster");
    assert_eq!(after.guard, before.guard, "the same guard");
    assert_eq!(cluster.epoch(), epoch, "the same epoch");
    assert_eq!(cluster.primary(), Ok(old), "the same leader");
    let so_far = writer.so_far();
    let node = cluster.nodes[old].postgres.ip().to_string();
    let missed = so_far.0.iter().filter(|note| note.at > fault && note.node == node && note.word != "ack").count();
    assert_eq!(missed, 0, "no write on the primary failed");
    cluster.verdict(writer, true);
}

/// The guard's death takes PostgreSQL down; the agent completes the fence and gives the lease up.
fn guard_killed(kind: Kind) {
    let mut cluster = start(kind);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let pids = cluster.nodes[old].pids();
    process::kill(pids.guard);
    wait::until("PostgreSQL is down", Duration::from_secs(5), || match cluster.nodes[old].postgres_processes() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    wait::until("the agent has ended", Duration::from_secs(5), || {
        if process::is_alive(pids.agent) { Err("it runs".into()) } else { Ok(()) }
    });
    cluster.next_primary(old, TTL + SLACK);
    cluster.nodes[old].kill();
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}

/// Guard and agent in one instant: what they leave behind is ended, as a service manager would, and the standby takes over at the end
/// of the lease. Synchronous mode loses nothing.
fn guard_and_agent_killed(kind: Kind) {
    let mut cluster = start(kind);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let pids = cluster.nodes[old].pids();
    process::signal(pids.guard, Signal::STOP);
    process::kill(pids.agent);
    process::kill(pids.guard);
    cluster.next_primary(old, TTL + SLACK);
    wait::until("the postmaster is gone", Duration::from_secs(5), || {
        let pid = pids.postmaster.expect("a postmaster");
        if process::is_alive(pid) { Err("it runs".into()) } else { Ok(()) }
    });
    cluster.nodes[old].kill();
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}

/// A frozen agent cannot renew: the guard fences in time, another node leads, and the thawed agent follows.
fn agent_frozen_past_the_lease(kind: Kind) {
    let cluster = start(kind);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let agent = cluster.nodes[old].pids().agent;
    process::freeze(agent);
    wait::until("the guard fences", TTL + Duration::from_secs(1), || match cluster.nodes[old].postgres_processes() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{} processes", left.len())),
    });
    let new = cluster.next_primary(old, TTL + SLACK);
    assert_eq!(process::look(agent).map(|found| found.state), Some('T'), "the agent stood all the while");
    process::thaw(agent);
    assert_eq!(cluster.settled(true), new, "the thawed agent follows");
    cluster.verdict(writer, true);
}

/// A frozen guard is noticed by the agent, which fences and gives the lease up.
fn guard_frozen(kind: Kind) {
    let cluster = start(kind);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let guard = cluster.nodes[old].pids().guard;
    process::freeze(guard);
    let new = cluster.next_primary(old, TTL + SLACK);
    assert!(cluster.nodes[old].postgres_processes().is_empty(), "PostgreSQL is fenced while the guard stands");
    assert_eq!(process::look(guard).map(|found| found.state), Some('T'), "the guard stood all the while");
    process::thaw(guard);
    assert_eq!(cluster.settled(true), new, "the node follows once its guard runs again");
    cluster.verdict(writer, true);
}

/// An asynchronous cluster restarts a crashed primary in place. With a frozen guard it cannot be: the lease goes to a standby all the same.
#[test]
fn guard_frozen_asynchronous() {
    let cluster = Cluster::start(Kind::Local, 3, &Options { synchronous: false, ..Options::default() });
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let guard = cluster.nodes[old].pids().guard;
    process::freeze(guard);
    let new = cluster.next_primary(old, TTL + SLACK);
    assert_eq!(process::look(guard).map(|found| found.state), Some('T'), "the guard stood all the while");
    process::thaw(guard);
    assert_eq!(cluster.settled(false), new, "the node follows once its guard runs again");
    writer.writes_again(SLACK);
    assert_eq!(writer.finish().overlap(), Duration::ZERO, "two nodes acknowledged in turns");
}

/// Every PostgreSQL process frozen: new sessions get no answer, the node fences itself and gives the lease up.
fn postgresql_frozen(kind: Kind) {
    let cluster = start(kind);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let frozen = cluster.nodes[old].postgres_processes();
    assert!(frozen.len() > 5, "{frozen:?}");
    for process in &frozen {
        process::signal(process.pid, Signal::STOP);
    }
    wait::until("they stand", Duration::from_secs(2), || {
        let states: Vec<Process> = frozen.iter().filter_map(|found| process::look(found.pid)).collect();
        if states.iter().any(|found| found.state == 'T') { Ok(()) } else { Err(format!("{states:?}")) }
    });
    cluster.next_primary(old, TTL + TTL + SLACK);
    cluster.verdict(writer, true);
}

fn node_frozen_postgresql_first(kind: Kind) {
    node_frozen(kind, |process| process.name != "postgres");
}

fn node_frozen_guard_first(kind: Kind) {
    node_frozen(kind, |process| process.name == "postgres");
}

/// The whole node frozen past the lease and continued: nothing is acknowledged by the old side after the thaw that the new one lacks.
fn node_frozen(kind: Kind, continued_last: impl Fn(&Process) -> bool) {
    let cluster = start(kind);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let mut frozen = cluster.nodes[old].freeze();
    assert!(frozen.len() > 8, "guard, agent and PostgreSQL: {frozen:?}");
    let new = cluster.next_primary(old, TTL + SLACK);
    frozen.sort_by_key(|process| continued_last(process));
    for process in &frozen {
        process::thaw(process.pid);
    }
    assert_eq!(cluster.settled(true), new, "the thawed node follows");
    cluster.verdict(writer, true);
}

/// A node that is gone: taken over when its lease ends; it comes back as a replica.
fn node_killed(kind: Kind) {
    let mut cluster = start(kind);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let fault = Cluster::now();
    cluster.nodes[old].kill();
    let new = cluster.next_primary(old, TTL + SLACK);
    writer.writes_again(SLACK);
    cluster.nodes[old].start();
    assert_eq!(cluster.settled(true), new, "the node that came back follows");
    let notes = cluster.verdict(writer, true);
    println!("write gap {:?}", notes.gap_after(fault));
}
