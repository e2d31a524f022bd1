//! Faults of the network: three nodes with addresses of their own, an etcd member beside each, and a client outside that counts. Each
//! test first proves that its fault took place.

use std::time::Duration;
use tanist_tests::{
    cluster::Cluster,
    net::{CLIENT, Cut, Link, as_root},
    node::Options,
    rest, wait,
};

/// The lease, as long as the tests use it.
const TTL: Duration = Duration::from_secs(5);
/// A busy machine may need this much longer than the protocol.
const SLACK: Duration = Duration::from_secs(15);
/// etcd's port for its clients, and for its members.
const ETCD: [u16; 2] = [2379, 2380];
/// PostgreSQL's port.
const POSTGRES: u16 = 5432;

/// The host of a node.
fn host(index: usize) -> u8 {
    u8::try_from(index + 1).expect("a small number")
}

/// The numbers of all nodes but one.
fn others(index: usize) -> impl Iterator<Item = usize> {
    (0..3).filter(move |other| *other != index)
}

/// A fault stands for so long that a lease would have ended twice.
fn stands(cluster: &Cluster, fault: u64) {
    let end = fault + 2 * TTL.as_nanos() as u64;
    wait::until(
        "the fault has stood for two leases",
        TTL * 3,
        || if Cluster::now() > end { Ok(()) } else { Err("not yet".into()) },
    );
    assert!(cluster.place.net().wire.dropped() > 0, "the fault took place: packets were dropped");
}

/// The same node leads under the same epoch, and answers.
fn undisturbed(cluster: &Cluster, leader: usize, epoch: u64) {
    assert_eq!(cluster.primary(), Ok(leader), "the same leader");
    assert_eq!(cluster.epoch(), epoch, "the same epoch");
}

#[test]
fn primary_cut_off() {
    as_root(module_path!(), "primary_cut_off", || {
        let cluster = Cluster::on_hosts(&Options::default());
        from_the_store(&cluster);
        from_everybody_with_the_stores_leader(&cluster);
    });
}

/// The primary reaches everything but the store, and the client reaches the primary: it is fenced, another takes over, nothing is lost.
fn from_the_store(cluster: &Cluster) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let old = cluster.primary().expect("a primary");
    for port in ETCD {
        wire.isolate_port(host(old), port);
    }
    wait::until("the cut-off primary is fenced", TTL + Duration::from_secs(1), || match cluster.nodes[old].get("/primary") {
        200 => Err("it says primary".into()),
        _ => Ok(()),
    });
    let new = cluster.next_primary(old, TTL + SLACK);
    assert!(wire.dropped() > 0, "packets were dropped");
    wire.mend();
    assert_eq!(cluster.settled(true), new, "the old primary follows");
    cluster.verdict(writer, true);
}

/// The primary's host is silent, and etcd's leader was on it.
fn from_everybody_with_the_stores_leader(cluster: &Cluster) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let old = cluster.primary().expect("a primary");
    cluster.store.lead(old);
    let fault = Cluster::now();
    wire.isolate(host(old));
    let new = cluster.next_primary(old, TTL + SLACK);
    wait::until("the silent node has fenced itself", TTL, || match cluster.nodes[old].get("/primary") {
        200 => Err("it says primary".into()),
        _ => Ok(()),
    });
    writer.writes_again(SLACK);
    wire.mend();
    assert_eq!(cluster.settled(true), new, "the silent node follows");
    let notes = cluster.verdict(writer, true);
    println!("write gap, host silent with etcd's leader on it: {:?}", notes.gap_after(fault));
}

#[test]
fn links_that_do_not_matter() {
    as_root(module_path!(), "links_that_do_not_matter", || {
        let cluster = Cluster::on_hosts(&Options::default());
        client_cut_off(&cluster);
        standbys_cut_off(&cluster);
        ring(&cluster);
        one_way(&cluster);
    });
}

/// The client cannot reach the primary: no reason for a failover.
fn client_cut_off(cluster: &Cluster) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let (leader, epoch, fault) = (cluster.primary().expect("a primary"), cluster.epoch(), Cluster::now());
    wire.part(CLIENT, host(leader));
    stands(cluster, fault);
    assert!(writer.so_far().nodes_after(fault + 100_000_000).is_empty(), "the client reached nobody");
    undisturbed(cluster, leader, epoch);
    wire.mend();
    cluster.verdict(writer, true);
}

/// No standby can stream, the store is there for all: the primary stays, goes on alone as the mode allows, and names a standby again.
fn standbys_cut_off(cluster: &Cluster) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let (leader, epoch, fault) = (cluster.primary().expect("a primary"), cluster.epoch(), Cluster::now());
    for other in others(leader) {
        let (a, b, port) = (Some(host(leader)), Some(host(other)), Some(POSTGRES));
        wire.cut(&[Cut { from: a, to: b, port }, Cut { from: b, to: a, port }]);
    }
    writer.writes_again(TTL + SLACK);
    stands(cluster, fault);
    undisturbed(cluster, leader, epoch);
    wire.mend();
    cluster.verdict(writer, true);
    undisturbed(cluster, leader, epoch);
}

/// Primary and one standby do not hear each other, the third hears both.
fn ring(cluster: &Cluster) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let (leader, epoch, fault) = (cluster.primary().expect("a primary"), cluster.epoch(), Cluster::now());
    let other = others(leader).next().expect("another node");
    // etcd's leader beside the primary or on the third host: else the member that cannot hear it would call elections.
    cluster.store.lead(others(leader).nth(1).expect("a third node"));
    wire.part(host(leader), host(other));
    stands(cluster, fault);
    undisturbed(cluster, leader, epoch);
    wire.mend();
    cluster.verdict(writer, true);
}

/// What one standby sends arrives nowhere, but it hears everything: it must not disturb anybody.
fn one_way(cluster: &Cluster) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let (leader, epoch, fault) = (cluster.primary().expect("a primary"), cluster.epoch(), Cluster::now());
    let mute = others(leader).next().expect("another node");
    wire.cut(&[Cut { from: Some(host(mute)), to: None, port: None }]);
    stands(cluster, fault);
    undisturbed(cluster, leader, epoch);
    wire.mend();
    cluster.verdict(writer, true);
}

#[test]
fn far_and_lossy() {
    as_root(module_path!(), "far_and_lossy", || {
        let mut cluster = Cluster::on_hosts(&Options::default());
        lossy(&cluster);
        far(&mut cluster);
    });
}

/// One packet in twenty is lost everywhere: no demotion.
fn lossy(cluster: &Cluster) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let (leader, epoch, fault) = (cluster.primary().expect("a primary"), cluster.epoch(), Cluster::now());
    wire.links(Link { loss: 50, ..Link::default() });
    stands(cluster, fault);
    undisturbed(cluster, leader, epoch);
    wire.links(Link::default());
    cluster.verdict(writer, true);
}

/// A round trip of 100 ms between all hosts: a switchover, and a node that is gone.
fn far(cluster: &mut Cluster) {
    let writer = cluster.writer();
    cluster.place.net().wire.links(Link { delay: Duration::from_millis(50), ..Link::default() });
    let (old, fault) = (cluster.primary().expect("a primary"), Cluster::now());
    let standby = wait::until("a standby is named", SLACK, || cluster.named_standby());
    let body = format!(r#"{{"leader":"{}","candidate":"{}"}}"#, cluster.nodes[old].name, cluster.nodes[standby].name);
    let (code, text) = rest::request("POST", cluster.nodes[old].rest, "/switchover", &body).expect("an answer");
    assert_eq!(code, 200, "{text}");
    assert_eq!(cluster.next_primary(old, TTL + SLACK), standby, "the candidate leads");
    writer.writes_again(SLACK);
    println!("write gap, switchover at 100 ms round trip: {:?}", writer.so_far().gap_after(fault));
    cluster.settled(true);
    let fault = Cluster::now();
    cluster.nodes[standby].kill();
    let new = cluster.next_primary(standby, TTL + SLACK);
    writer.writes_again(SLACK);
    println!("write gap, node gone at 100 ms round trip: {:?}", writer.so_far().gap_after(fault));
    cluster.nodes[standby].start();
    assert_eq!(cluster.settled(true), new, "the node that came back follows");
    cluster.place.net().wire.links(Link::default());
    cluster.verdict(writer, true);
}
