//! The return of a node that has what the leader has not: rewound, not copied; and copied where it cannot be rewound, or where that was
//! interrupted. Never started as it is.

use rustix::process::Signal;
use std::{fs, os::unix::fs::MetadataExt, time::Duration};
use tanist_tests::{
    cluster::Cluster,
    node::{Node, Options},
    process, sql,
    store::Kind,
    wait,
};

const TTL: Duration = Duration::from_secs(5);
/// A busy machine may need this much longer than the protocol.
const SLACK: Duration = Duration::from_secs(40);

fn asynchronous() -> Options {
    Options { synchronous: false, postgresql: vec!["use_pg_rewind: true".into()], ..Options::default() }
}

/// A table of some size, on both nodes.
fn fill(cluster: &Cluster) {
    let primary = cluster.nodes[cluster.settled(false)].postgres;
    sql::query(primary, "CREATE TABLE kept AS SELECT n, repeat('x', 200) AS t FROM generate_series(1, 60000) AS n")
        .expect("a table");
    caught_up(cluster);
}

/// Every standby has replayed what its primary has.
fn caught_up(cluster: &Cluster) {
    let primary = cluster.nodes[cluster.settled(false)].postgres;
    wait::until("the standbys have everything", SLACK, || {
        match sql::value(primary, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()")?.as_str() {
            "0" => Ok(()),
            behind => Err(format!("{behind} behind")),
        }
    });
}

/// The primary writes what nobody else gets and is lost; the other node leads. Gives the lost node and the leader.
fn part(cluster: &mut Cluster, round: usize) -> (usize, usize) {
    caught_up(cluster);
    let old = cluster.primary().expect("a primary");
    let other = 1 - old;
    cluster.nodes[other].kill();
    let at = cluster.nodes[old].postgres;
    sql::query(at, &format!("CREATE TABLE lost_{round} AS SELECT 1 AS n")).expect("a write");
    sql::query(at, "UPDATE kept SET n = -n WHERE n % 40 = 0").expect("a write");
    // The position of the leader as told last bounds who may take over.
    cluster.nodes[old].kill();
    cluster.nodes[other].start();
    assert_eq!(cluster.next_primary(old, TTL + SLACK), other);
    let at = cluster.nodes[other].postgres;
    sql::query(at, &format!("CREATE TABLE found_{round} AS SELECT 1 AS n")).expect("a write");
    sql::query(at, "UPDATE kept SET t = repeat('y', 200) WHERE n % 50 = 0").expect("a write");
    (old, other)
}

/// Which files these are: a copy makes new ones.
fn identity(node: &Node) -> (u64, Option<std::time::SystemTime>) {
    let found = fs::metadata(node.data().join("global/pg_control")).expect("a control file");
    (found.ino(), found.created().ok())
}

/// Both have the same rows, and nothing of what was lost.
fn equal(cluster: &Cluster, round: usize) {
    caught_up(cluster);
    let sum = "SELECT count(*), sum(n), md5(string_agg(t, '' ORDER BY abs(n))) FROM kept";
    let rows = |node: &Node| sql::query(node.postgres, sum).expect("the rows");
    assert_eq!(rows(&cluster.nodes[0]), rows(&cluster.nodes[1]));
    for node in &cluster.nodes {
        assert!(sql::query(node.postgres, &format!("SELECT * FROM lost_{round}")).is_err(), "{} has what was lost", node.name);
        sql::query(node.postgres, &format!("SELECT * FROM found_{round}")).expect("what the new leader wrote");
    }
}

/// What a node has printed since.
fn since(node: &Node, before: usize) -> String {
    node.told().split_off(before)
}

#[test]
fn an_old_primary_is_rewound() {
    let mut cluster = Cluster::prepare(Kind::Local, 2, &asynchronous());
    cluster.nodes.iter_mut().for_each(Node::start);
    fill(&cluster);
    for round in 0..2 {
        let (old, _) = part(&mut cluster, round);
        let (files, told) = (identity(&cluster.nodes[old]), cluster.nodes[old].told().len());
        cluster.nodes[old].start();
        cluster.settled(false);
        let told = since(&cluster.nodes[old], told);
        assert!(told.contains("rewinding the data directory"), "{told}");
        assert!(!told.contains("copying the leader's data directory"), "{told}");
        assert_eq!(identity(&cluster.nodes[old]), files, "other files");
        assert!(!cluster.nodes[old].state().join("unfinished").exists(), "the mark of the rewind is gone");
        equal(&cluster, round);
    }
}

#[test]
fn nothing_to_take_back_is_neither_rewound_nor_copied() {
    let mut cluster = Cluster::prepare(Kind::Local, 2, &Options { synchronous: false, ..Options::default() });
    cluster.nodes.iter_mut().for_each(Node::start);
    fill(&cluster);
    let old = cluster.primary().expect("a primary");
    let (files, told) = (identity(&cluster.nodes[old]), cluster.nodes[old].told().len());
    // Killed as it stands: its standby has every byte, and the end of its WAL is not in its control file.
    cluster.nodes[old].kill();
    let new = cluster.next_primary(old, TTL + SLACK);
    sql::query(cluster.nodes[new].postgres, "CREATE TABLE found_0 AS SELECT 1 AS n").expect("a write");
    cluster.nodes[old].start();
    cluster.settled(false);
    let told = since(&cluster.nodes[old], told);
    if told.contains("copying the leader's data directory") {
        // A record that no standby had got yet: then it has left the history, and is replaced.
        assert!(told.contains("own history is not part of the leader's"), "{told}");
    } else {
        assert_eq!(identity(&cluster.nodes[old]), files, "other files");
    }
    equal(&cluster, 0);
}

/// pg_rewind while it changes the directory, frozen `after` it was seen.
fn caught(node: &Node, after: Duration) -> i32 {
    let pid = wait::until("pg_rewind changes the directory", TTL + SLACK, || {
        let found = node.processes().into_iter().find(|process| {
            let line = fs::read_to_string(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            process.name == "pg_rewind" && !line.contains("--dry-run") && !line.is_empty()
        });
        found.map(|process| process.pid).ok_or_else(|| "not seen".to_owned())
    });
    std::thread::sleep(after);
    process::signal(pid, Signal::STOP);
    wait::until("it stands", Duration::from_secs(2), || match process::look(pid) {
        Some(process::Process { state: 'T' | 't', .. }) => Ok(()),
        other => Err(format!("too late: {other:?}")),
    });
    let mark = fs::read_to_string(node.state().join("unfinished")).expect("a mark");
    assert!(mark.starts_with("rewind"), "{mark}");
    pid
}

#[test]
fn a_rewind_that_is_interrupted_is_done_again_as_a_copy() {
    let mut cluster = Cluster::prepare(Kind::Local, 2, &asynchronous());
    cluster.nodes.iter_mut().for_each(Node::start);
    fill(&cluster);
    for (round, (victim, after)) in [("pg_rewind", 0), ("agent", 20), ("guard", 40), ("node", 5)].into_iter().enumerate() {
        let (old, _) = part(&mut cluster, round);
        let told = cluster.nodes[old].told().len();
        cluster.nodes[old].start();
        let rewinds = caught(&cluster.nodes[old], Duration::from_millis(after));
        let pids = cluster.nodes[old].pids();
        match victim {
            "pg_rewind" => process::kill(rewinds),
            "agent" => process::kill(pids.agent),
            "guard" => {
                process::kill(pids.guard);
                wait::until("the agent ends without its guard", SLACK, || match process::is_alive(pids.agent) {
                    true => Err("it runs".to_owned()),
                    false => Ok(()),
                });
                cluster.nodes[old].kill();
                cluster.nodes[old].start();
            }
            _ => {
                cluster.nodes[old].kill();
                cluster.nodes[old].start();
            }
        }
        cluster.settled(false);
        assert!(!process::is_alive(rewinds), "an orphan would go on to write");
        let told = since(&cluster.nodes[old], told);
        assert!(told.contains("copying the leader's data directory"), "{victim}: {told}");
        assert!(told.contains("an unfinished copy or rewind is here"), "{victim}: {told}");
        equal(&cluster, round);
    }
}

#[test]
fn where_wal_is_gone_a_copy_is_made() {
    let options = Options { parameters: vec!["wal_keep_size: 0".into()], ..asynchronous() };
    let mut cluster = Cluster::prepare(Kind::Local, 2, &options);
    for node in &mut cluster.nodes {
        node.edit(|text| text.replace("maximum_lag_on_failover: 1048576", "maximum_lag_on_failover: 1073741824"));
        node.start();
    }
    fill(&cluster);
    let old = cluster.primary().expect("a primary");
    let other = 1 - old;
    cluster.nodes[other].kill();
    let at = cluster.nodes[old].postgres;
    // What both have in common ends in a segment that its own checkpoints remove.
    for round in 0..4 {
        sql::query(at, &format!("CREATE TABLE lost_{round} AS SELECT 1 AS n; SELECT pg_switch_wal()")).expect("a segment");
        sql::query(at, "CHECKPOINT").expect("a checkpoint");
    }
    cluster.nodes[old].kill();
    cluster.nodes[other].start();
    assert_eq!(cluster.next_primary(old, TTL + SLACK), other);
    sql::query(cluster.nodes[other].postgres, "CREATE TABLE found_0 AS SELECT 1 AS n").expect("a write");
    let told = cluster.nodes[old].told().len();
    cluster.nodes[old].start();
    cluster.settled(false);
    let told = since(&cluster.nodes[old], told);
    assert!(told.contains("failed: pg_rewind ended with exit code 1") && told.contains("pg_rewind: error: could not"), "{told}");
    assert!(told.contains("copying the leader's data directory"), "{told}");
    equal(&cluster, 0);
}
