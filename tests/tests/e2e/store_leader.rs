//! The store's leader lost again and again under a whole cluster: etcd's leader is killed, and stopped for longer than a lease, and no
//! primary is demoted for it: the same server stays writable. etcd 3.4 lets a leader that was stopped revoke leases which its successor
//! has renewed (etcd-io/etcd#15247): the leader key goes then, and is put back under a new epoch.
//!
//! `TANIST_STORE_ROUNDS` says how often (2 where it says nothing).

use std::time::Duration;
use tanist_tests::{cluster::Cluster, net::as_root, node::Options, process, wait};

/// Longer than the lease.
const STOPPED: Duration = Duration::from_secs(7);
const SLACK: Duration = Duration::from_secs(20);

/// Between two faults: what the first one took of the lease is made good before the second, which is not what is tried here.
fn renewed(cluster: &Cluster) {
    let seq = || {
        let leader = cluster.store.leader();
        let record = cluster.store.members[leader].ctl(&["get", "--print-value-only", "/service/e2e/tanist/lease"]);
        let record: serde_json::Value = serde_json::from_str(&record).expect("the lease record");
        record["seq"].as_u64().unwrap_or_else(|| panic!("no seq in {record}"))
    };
    let before = seq();
    wait::until("the lease is renewed twice", SLACK, || match seq() {
        now if now >= before + 2 => Ok(()),
        now => Err(format!("{before}, then {now}")),
    });
}

#[test]
fn the_stores_leader_is_lost_and_nobody_is_demoted() {
    as_root(module_path!(), "the_stores_leader_is_lost_and_nobody_is_demoted", || {
        let rounds: u32 = std::env::var("TANIST_STORE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
        let mut cluster = Cluster::on_hosts(&Options::default());
        let writer = cluster.writer();
        let (primary, mut epoch, mut put_back) = (cluster.primary().expect("a primary"), cluster.epoch(), 0);
        let postmaster = cluster.nodes[primary].pids().postmaster;
        for round in 0..rounds {
            let leader = cluster.store.leader();
            cluster.store.members[leader].kill();
            let next = wait::until("etcd has another leader", SLACK, || match cluster.store.leader() {
                next if next != leader => Ok(next),
                _ => Err("the old one".into()),
            });
            writer.writes_again(SLACK);
            cluster.store.up();
            renewed(&cluster);
            // Stopped, not killed: its connections stay open, and nothing comes out of them.
            let pid = cluster.store.members[next].pid();
            let fault = Cluster::now();
            process::freeze(pid);
            wait::until("a stopped leader has been silent for longer than a lease", STOPPED * 2, || {
                if Cluster::now() - fault > STOPPED.as_nanos() as u64 { Ok(()) } else { Err("not yet".into()) }
            });
            writer.writes_again(SLACK);
            process::thaw(pid);
            cluster.store.up();
            // A key that is put back is proved anew first.
            let same = wait::until("there is one primary", SLACK, || cluster.primary());
            assert_eq!(same, primary, "round {round}: nobody was demoted");
            assert_eq!(cluster.nodes[primary].pids().postmaster, postmaster, "round {round}: the same server");
            let now = cluster.epoch();
            put_back += u32::from(now != epoch);
            epoch = now;
            renewed(&cluster);
        }
        println!("{rounds} leaders killed and {rounds} stopped, no demotion; the leader key was put back {put_back} times");
        cluster.verdict(writer, true);
    });
}
