//! Replication slots of members: a standby that was away finds its WAL, also at a new leader; who does not come back keeps none for ever.

use std::{fs, time::Duration};
use tanist_tests::{
    cluster::Cluster,
    node::{Node, Options},
    rest, sql,
    store::Kind,
    wait,
};

const TTL: Duration = Duration::from_secs(5);
/// A busy machine may need this much longer than the protocol.
const SLACK: Duration = Duration::from_secs(40);

/// No WAL is kept but for slots.
fn options() -> Options {
    Options { synchronous: false, parameters: vec!["wal_keep_size: 0".into()], ..Options::default() }
}

/// The slots of a node: `name:active`, in order.
fn slots(node: &Node) -> Result<Vec<String>, String> {
    let question = "SELECT slot_name || CASE WHEN active THEN '+' ELSE '-' END FROM pg_replication_slots ORDER BY 1";
    Ok(sql::query(node.postgres, question)?.into_iter().filter_map(|row| row.into_iter().next()).collect())
}

/// The node has these, and no others.
fn expect(what: &str, node: &Node, wanted: &[&str]) {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wait::until(what, SLACK, || match slots(node)? {
        found if found == wanted => Ok(()),
        found => Err(format!("{found:?}")),
    });
}

/// The primary ends several segments, and removes what nobody needs.
fn move_on(primary: &Node) {
    for round in 0..6 {
        let table = format!("CREATE TABLE more_{round} AS SELECT generate_series(1, 1000) AS n; SELECT pg_switch_wal()");
        sql::query(primary.postgres, &table).expect("a segment");
        sql::query(primary.postgres, "CHECKPOINT").expect("a checkpoint");
    }
}

#[test]
fn a_standby_that_was_away_finds_its_wal() {
    let mut cluster = Cluster::start(Kind::Local, 2, &options());
    let primary = cluster.primary().expect("a primary");
    let away = 1 - primary;
    let name = cluster.nodes[away].name.clone();
    expect("the standby uses its slot", &cluster.nodes[primary], &[&format!("{name}+")]);
    assert_eq!(cluster.nodes[away].stop(SLACK), Some(0));
    expect("its slot is kept", &cluster.nodes[primary], &[&format!("{name}-")]);
    move_on(&cluster.nodes[primary]);
    wait::until("it is said how much the slot keeps", SLACK, || {
        let metrics = rest::request("GET", cluster.nodes[primary].rest, "/metrics", "")?.1;
        let kept = metrics.lines().find(|line| line.starts_with("tanist_slot_retained_bytes{")).ok_or("nothing")?;
        match kept.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()) {
            Some(kept) if kept > 64 << 20 && metrics.contains(&format!("slot=\"{name}\"}} 0")) => Ok(()),
            _ => Err(metrics),
        }
    });
    let told = cluster.nodes[away].told().len();
    cluster.nodes[away].start();
    cluster.settled(false);
    expect("the standby uses its slot again", &cluster.nodes[primary], &[&format!("{name}+")]);
    let told = cluster.nodes[away].told().split_off(told);
    assert!(!told.contains("copying the leader's data directory"), "{told}");
    wait::until("it has the rows", SLACK, || match sql::value(cluster.nodes[away].postgres, "SELECT count(*) FROM more_5")? {
        count if count == "1000" => Ok(()),
        count => Err(count),
    });
}

/// It was away for longer than its slot is kept, and the WAL that it needs is gone.
#[test]
fn a_standby_whose_wal_is_gone_is_copied() {
    let mut cluster = Cluster::prepare(Kind::Local, 2, &options());
    for node in &mut cluster.nodes {
        node.edit(|text| text.replace("    synchronous_mode:", "    member_slots_ttl: 1\n    synchronous_mode:"));
        node.start();
    }
    let primary = cluster.settled(false);
    let away = 1 - primary;
    let name = cluster.nodes[away].name.clone();
    assert_eq!(cluster.nodes[away].stop(SLACK), Some(0));
    expect("its slot is dropped", &cluster.nodes[primary], &[]);
    move_on(&cluster.nodes[primary]);
    let told = cluster.nodes[away].told().len();
    cluster.nodes[away].start();
    wait::until("it is copied", SLACK, || match cluster.nodes[away].told().split_off(told) {
        told if told.contains("copying the leader's data directory") || told.contains("copying the data directory") => Ok(()),
        told => Err(told),
    });
    cluster.settled(false);
    expect("the standby uses its slot", &cluster.nodes[primary], &[&format!("{name}+")]);
    let rows = sql::value(cluster.nodes[away].postgres, "SELECT count(*) FROM more_5").expect("its rows");
    assert_eq!(rows, "1000");
}

#[test]
fn a_new_leader_has_a_slot_for_everybody_and_none_for_ever() {
    let options = Options { postgresql: vec!["use_pg_rewind: true".into()], ..options() };
    let mut cluster = Cluster::prepare(Kind::Etcd, 3, &options);
    for node in &mut cluster.nodes {
        node.edit(|text| {
            text.replace(
                "    synchronous_mode:",
                "    member_slots_ttl: 20\n    slots: {backup: {type: physical}}\n    synchronous_mode:",
            )
        });
        node.start();
    }
    let old = cluster.settled(false);
    let names: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    let [one, other] = others[..] else { panic!("two standbys") };
    let (here, away) = (|name: usize| format!("{}+", names[name]), |name: usize| format!("{}-", names[name]));
    expect("the leader has them", &cluster.nodes[old], &["backup-", &here(one), &here(other)]);
    expect("an heir has them", &cluster.nodes[one], &["backup-", &away(old), &away(other)]);
    expect("the other heir, too", &cluster.nodes[other], &["backup-", &away(old), &away(one)]);
    move_on(&cluster.nodes[old]);
    wait::until("the heirs' slots move on", SLACK, || {
        for index in [one, other] {
            let at = cluster.nodes[index].postgres;
            let kept = "SELECT max(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), restart_lsn)) < 16 * 1024 * 1024 \
                        FROM pg_replication_slots WHERE slot_name <> 'backup'";
            if sql::value(at, kept)? != "t" {
                return Err(format!("{} keeps too much", names[index]));
            }
        }
        Ok(())
    });
    cluster.nodes[old].kill();
    let new = cluster.next_primary(old, TTL + SLACK);
    let left = if new == one { other } else { one };
    expect("the new leader's", &cluster.nodes[new], &["backup-", &away(old), &here(left)]);
    // Who is away for longer than member_slots_ttl keeps nothing any more.
    expect("the slot of who is gone is dropped", &cluster.nodes[new], &["backup-", &here(left)]);
    let made = fs::read_to_string(cluster.nodes[new].state().join("slots")).expect("the list of slots");
    assert!(made.lines().any(|name| name == names[old]), "{made}");
    cluster.nodes[old].start();
    cluster.settled(false);
}
