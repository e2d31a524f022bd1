//! The commit fence: a standby takes over only with everything that could have been acknowledged, whatever state its replay is in, and
//! the leader before it gets nothing acknowledged any more.

use std::{net::SocketAddr, time::Duration};
use tanist_tests::{cluster::Cluster, node::Options, process, rest, sql, store::Kind, wait};

const TTL: Duration = Duration::from_secs(5);
/// A busy machine may need this much longer than the protocol.
const SLACK: Duration = Duration::from_secs(20);

/// Readers hold replay up for as long as they like.
fn patient() -> Vec<String> {
    ["max_standby_streaming_delay: -1", "max_standby_archive_delay: -1"].map(str::to_owned).into()
}

fn startup_wait(at: SocketAddr) -> Result<String, String> {
    sql::value(at, "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE backend_type = 'startup'")
}

/// Holds replay of the standby up by a transaction that reads what the primary changes. Ends with what it returns.
fn hold_replay_up(cluster: &Cluster, standby: usize) -> sql::Held {
    let (primary, standby) = (cluster.nodes[cluster.primary().expect("a primary")].postgres, cluster.nodes[standby].postgres);
    sql::query(primary, "CREATE TABLE IF NOT EXISTS held (n int)").expect("the table");
    wait::until("the table is there", SLACK, || sql::query(standby, "SELECT * FROM held").map(drop));
    let reader = sql::hold(standby, "BEGIN; SELECT * FROM held").expect("a reader");
    sql::query(primary, "ALTER TABLE held ALTER n TYPE bigint").expect("a change");
    wait::until("replay is held up", SLACK, || match startup_wait(standby)? {
        wait if wait == "relation" => Ok(()),
        wait => Err(wait),
    });
    reader
}

/// Paused replay, then held up replay of the one synchronous standby; the primary's node is frozen and goes on afterwards.
#[test]
fn a_standby_whose_replay_stands_still_takes_over_with_everything() {
    let options = Options { parameters: patient(), ..Options::default() };
    let cluster = Cluster::start(Kind::Local, 3, &options);
    let writer = cluster.writer();
    for held_up in [false, true] {
        let old = cluster.settled(true);
        let standby = cluster.named_standby().expect("a synchronous standby");
        let at = cluster.nodes[standby].postgres;
        let reader = held_up.then(|| hold_replay_up(&cluster, standby));
        if !held_up {
            sql::query(at, "SELECT pg_wal_replay_pause()").expect("paused");
            wait::until("replay is paused", SLACK, || match startup_wait(at)? {
                wait if wait == "RecoveryPause" => Ok(()),
                wait => Err(wait),
            });
        }
        writer.writes_again(SLACK);
        let all = cluster.nodes[old].freeze();
        let new = cluster.next_primary(old, TTL + SLACK);
        assert_eq!(new, standby, "only who could have acknowledged takes over");
        let thawed = Cluster::now();
        for process in &all {
            process::thaw(process.pid);
        }
        cluster.settled(true);
        let address = cluster.nodes[old].postgres.ip().to_string();
        let late: Vec<_> = writer.so_far().of("ack").filter(|note| note.at > thawed && note.node == address).cloned().collect();
        assert!(late.is_empty() || cluster.primary() == Ok(old), "acknowledged by the frozen primary: {late:?}");
        drop(reader);
    }
    cluster.verdict(writer, true);
}

/// The standby is killed in front of what it has acknowledged and not replayed, together with the primary.
#[test]
fn a_standby_restarted_behind_its_acknowledgements_loses_none() {
    let options = Options { parameters: patient(), ..Options::default() };
    let mut cluster = Cluster::start(Kind::Etcd, 2, &options);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let standby = cluster.named_standby().expect("a synchronous standby");
    let _reader = hold_replay_up(&cluster, standby);
    writer.writes_again(SLACK);
    let postmaster = cluster.nodes[standby].pids().postmaster.expect("a postmaster");
    cluster.nodes[old].kill();
    process::kill(postmaster);
    assert_eq!(cluster.next_primary(old, TTL + SLACK), standby);
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}

/// `ANY 1` of two standbys: one is lost and writes go on; then the primary is lost, and the other one takes over with everything.
#[test]
fn any_of_two_with_one_standby_gone() {
    let options = Options { quorum: true, ..Options::default() };
    let mut cluster = Cluster::start(Kind::Etcd, 3, &options);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let quorum = |cluster: &Cluster, index: usize| -> Result<usize, String> {
        let view = rest::json(cluster.nodes[index].rest, "/cluster")?;
        let members = view["members"].as_array().ok_or("no members")?;
        Ok(members.iter().filter(|member| member["role"] == "quorum_standby").count())
    };
    wait::until("both standbys count", SLACK, || match quorum(&cluster, old)? {
        2 => Ok(()),
        other => Err(format!("{other}")),
    });
    let names = sql::value(cluster.nodes[old].postgres, "SHOW synchronous_standby_names").expect("the names");
    assert!(names.starts_with("ANY 1 ("), "{names}");
    let (gone, left) = ((old + 1) % 3, (old + 2) % 3);
    cluster.nodes[gone].kill();
    writer.writes_again(SLACK);
    // The member key of who is gone has expired, and it does not count any more: one of one is a majority of all that acknowledge.
    wait::until("one standby counts", TTL + SLACK, || match quorum(&cluster, old)? {
        1 => Ok(()),
        other => Err(format!("{other}")),
    });
    writer.writes_again(SLACK);
    cluster.nodes[old].kill();
    assert_eq!(cluster.next_primary(old, TTL + SLACK), left);
    cluster.nodes[gone].start();
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}
