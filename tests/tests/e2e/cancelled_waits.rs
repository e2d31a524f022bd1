//! Commits that wait for a standby and are cancelled: PostgreSQL answers `INSERT 0 1` and a warning, and the row is on the primary alone. A
//! client that reads warnings counts it as in doubt; the next primary may not have it.

use std::time::Duration;
use tanist_tests::{cluster::Cluster, node::Options, sql, store::Kind, wait};

const TTL: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(30);
const CANCEL: &str = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

#[test]
fn a_cancelled_wait_is_in_doubt_and_never_acknowledged() {
    let options = Options::default();
    let mut cluster = Cluster::prepare(Kind::Etcd, 2, &options);
    for node in &mut cluster.nodes {
        node.edit(|text| text.replace("synchronous_mode: true\n", "synchronous_mode: true\n    synchronous_mode_strict: true\n"));
        node.start();
    }
    cluster.settled(true);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let standby = cluster.named_standby().expect("a synchronous standby");
    let at = cluster.nodes[old].postgres;
    writer.writes_again(SLACK);
    // Gone altogether: what a frozen one has in its sockets it would still receive after the thaw.
    cluster.nodes[standby].kill();
    let cut = Cluster::now();
    let address = at.ip().to_string();
    let doubtful = wait::until("waits were cancelled, and the client noticed", SLACK, || {
        sql::value(at, CANCEL)?;
        let notes = writer.so_far();
        let after: Vec<i64> =
            notes.of("doubt").filter(|note| note.at > cut && note.node == address).map(|note| note.number).collect();
        let known = "SELECT n FROM counted ORDER BY n DESC LIMIT 200";
        let rows: Vec<i64> = sql::query(at, known)?.into_iter().filter_map(|row| row[0].parse().ok()).collect();
        // Answered with success: the row is there, for everybody to see.
        let there: Vec<i64> = after.into_iter().filter(|number| rows.contains(number)).collect();
        if there.len() >= 20 { Ok(there) } else { Err(format!("{}", there.len())) }
    });
    let late: Vec<_> =
        writer.so_far().of("ack").filter(|note| note.at > cut + 1_000_000_000 && note.node == address).cloned().collect();
    assert!(late.is_empty(), "acknowledged without a standby: {late:?}");
    cluster.nodes[old].kill();
    cluster.nodes[standby].start();
    assert_eq!(cluster.next_primary(old, TTL * 2 + SLACK), standby);
    let rows = sql::query(cluster.nodes[standby].postgres, "SELECT n FROM counted").expect("the rows");
    let rows: std::collections::BTreeSet<i64> = rows.into_iter().filter_map(|row| row[0].parse().ok()).collect();
    let lost = doubtful.iter().filter(|number| !rows.contains(number)).count();
    println!("{} cancelled commits were answered with success, {lost} of them are not on the next primary", doubtful.len());
    assert!(lost > 0, "nothing was lost: the test saw no doubt that mattered");
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}
