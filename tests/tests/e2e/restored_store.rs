//! etcd restored from an old backup under a running cluster: its revisions, and so the epochs, count from low again. Nobody is promoted
//! under an epoch that was used before; everybody says so; `tanist repair epoch` brings the cluster back with everything acknowledged.

use std::time::Duration;
use tanist_tests::{cluster::Cluster, command::tanist, node::Options, store::Kind, wait};

const TTL: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(30);

#[test]
fn a_store_restored_from_an_old_backup() {
    let mut cluster = Cluster::start(Kind::Etcd, 3, &Options::default());
    let writer = cluster.writer();
    let backup = cluster.place.path().join("backup");
    cluster.store.backup(&backup);
    let config = cluster.nodes[0].config().display().to_string();
    // Epochs that the backup knows nothing of.
    for _ in 0..2 {
        let old = cluster.settled(true);
        tanist(&["switchover", "--config", &config]).output();
        cluster.next_primary(old, SLACK);
    }
    cluster.settled(true);
    writer.writes_again(SLACK);
    let epoch = cluster.epoch();

    cluster.store.down();
    cluster.store.restore(&backup);
    cluster.store.up();
    wait::until("the leader of a forgotten history has ended", TTL + SLACK, || match cluster.primary() {
        Ok(index) => Err(format!("{} says primary", cluster.nodes[index].name)),
        Err(_) => Ok(()),
    });
    let reason = wait::until("somebody says what is wrong and what to do", TTL * 3 + SLACK, || {
        let mut all = Vec::new();
        for node in &cluster.nodes {
            let reason = node.view()?["tanist"]["reason"].as_str().unwrap_or_default().to_owned();
            if reason.contains("tanist repair epoch") {
                return Ok(reason);
            }
            all.push(reason);
        }
        Err(format!("{all:?}"))
    });
    println!("{reason}");
    assert!(cluster.nodes.iter().any(|node| node.told().contains("tanist repair epoch")), "the log says it, too");
    let begun = Cluster::now();
    wait::until("three leases pass without a primary", TTL * 4, || {
        if let Ok(index) = cluster.primary() {
            panic!("{} was promoted", cluster.nodes[index].name);
        }
        if Cluster::now() - begun > 3 * TTL.as_nanos() as u64 { Ok(()) } else { Err("not yet".into()) }
    });
    let said = tanist(&["repair", "epoch", "--config", &config]).output();
    println!("{said}");
    wait::until("there is a primary again", TTL * 3 + SLACK, || cluster.primary());
    assert!(cluster.epoch() > epoch, "epochs go on: {} after {epoch}", cluster.epoch());
    cluster.verdict(writer, true);
}
