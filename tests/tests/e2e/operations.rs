//! The store out of reach, planned switchover, a slow promotion: on both stores.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};
use tanist_tests::{cluster::Cluster, command, dns, node::Options, rest, store::Kind, wait};

const TTL: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(15);
/// The name clients use.
const PRIMARY: &str = "primary.e2e.db.example";

/// The same test on the embedded store and on etcd.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod local { $(#[test] fn $name() { super::$name(super::Kind::Local) })+ }
        mod etcd { $(#[test] fn $name() { super::$name(super::Kind::Etcd) })+ }
    };
}

on_both_stores!(
    store_cut_off_from_the_primary,
    store_gone_and_back,
    switchover,
    switchover_asynchronous,
    epochs_raised,
    slow_promotion,
    service_stopped
);

/// The address of a node.
fn address(cluster: &Cluster, index: usize) -> IpAddr {
    cluster.nodes[index].postgres.ip()
}

/// Waits until every DNS connection point that should answer names exactly this node.
fn name_follows(cluster: &Cluster, index: usize, askers: &[usize]) {
    wait::until(&format!("{PRIMARY} is {}", cluster.nodes[index].name), SLACK, || {
        for asker in askers {
            let answer = dns::addresses(cluster.nodes[*asker].dns, PRIMARY)?;
            if answer != [address(cluster, index)] {
                return Err(format!("{} answers {answer:?}", cluster.nodes[*asker].name));
            }
        }
        Ok(())
    });
}

/// The primary cannot reach the store: it is fenced before its lease ends, another takes over, and it follows when it is back.
fn store_cut_off_from_the_primary(kind: Kind) {
    let cluster = Cluster::start(kind, 3, &Options::default());
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    cluster.nodes[old].relay().cut();
    wait::until("the cut-off primary is fenced", TTL + Duration::from_secs(1), || {
        let left = cluster.nodes[old].postgres_processes().len();
        if left == 0 || cluster.nodes[old].get("/primary") == 503 { Ok(()) } else { Err(format!("{left} processes")) }
    });
    let new = cluster.next_primary(old, TTL + SLACK);
    assert_eq!(cluster.nodes[old].get("/primary"), 503, "the cut-off node does not say primary");
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    name_follows(&cluster, new, &others);
    cluster.nodes[old].relay().mend();
    assert_eq!(cluster.settled(true), new, "the node follows when the store is back");
    name_follows(&cluster, new, &[0, 1, 2]);
    cluster.verdict(writer, true);
}

/// The store is gone for longer than a lease: nobody is writable then, and one node is again when it is back.
fn store_gone_and_back(kind: Kind) {
    let mut cluster = Cluster::start(kind, 3, &Options::default());
    let writer = cluster.writer();
    cluster.store.down();
    wait::until("no node says primary", TTL + Duration::from_secs(1), || match cluster.primary() {
        Ok(index) => Err(format!("{} does", cluster.nodes[index].name)),
        Err(_) => Ok(()),
    });
    cluster.store.up();
    wait::until("one node is primary again", TTL + SLACK, || cluster.primary());
    cluster.verdict(writer, true);
}

/// `tanist repair epoch` lifts the epochs above one that was seen elsewhere, as after a restored store, without disturbing the leader.
fn epochs_raised(kind: Kind) {
    const SEEN: u64 = 1_000_000;
    let cluster = Cluster::start(kind, 3, &Options::default());
    let (old, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    assert!(epoch < SEEN, "epochs of a new store are low: {epoch}");
    let config = cluster.nodes[old].config().display().to_string();
    let repair = ["repair", "epoch", "--config", &config, "--above", &SEEN.to_string()];
    let said = command::tanist(&repair).output();
    assert!(said.contains(&format!("is {SEEN} now")), "{said}");
    assert!(command::tanist(&repair).output().contains("nothing to do"), "twice changes nothing");
    assert_eq!((cluster.primary(), cluster.epoch()), (Ok(old), epoch), "the leader goes on under its epoch");
    let said = command::tanist(&["switchover", "--config", &config]).output();
    assert!(said.contains("Successfully"), "{said}");
    let new = cluster.next_primary(old, SLACK);
    assert!(cluster.epoch() > SEEN, "the next leader's epoch is above: {}", cluster.epoch());
    name_follows(&cluster, new, &[0, 1, 2]);
}

/// `POST /switchover` moves the leadership to the synchronous standby; the old leader follows without being copied anew.
fn switchover(kind: Kind) {
    let cluster = Cluster::start(kind, 3, &Options::default());
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let candidate = wait::until("a standby is named", SLACK, || cluster.named_standby());
    name_follows(&cluster, old, &[0, 1, 2]);
    let fault = Cluster::now();
    let body = format!(r#"{{"leader":"{}","candidate":"{}"}}"#, cluster.nodes[old].name, cluster.nodes[candidate].name);
    let (code, text) = rest::request("POST", cluster.nodes[old].rest, "/switchover", &body).expect("an answer");
    assert_eq!(code, 200, "{text}");
    assert_eq!(cluster.next_primary(old, SLACK), candidate, "the candidate leads");
    name_follows(&cluster, candidate, &[0, 1, 2]);
    let notes = cluster.verdict(writer, true);
    println!("write gap {:?}", notes.gap_after(fault));
    let wrong = rest::request("POST", cluster.nodes[old].rest, "/switchover", r#"{"leader":"nobody"}"#).expect("an answer");
    assert_eq!(wrong.0, 412, "a leader that does not lead: {}", wrong.1);
}

/// Asynchronous mode, to nobody in particular, again and again: whoever has everything takes over, and nothing is lost.
fn switchover_asynchronous(kind: Kind) {
    let cluster = Cluster::start(kind, 3, &Options { synchronous: false, ..Options::default() });
    let writer = cluster.writer();
    for _ in 0..4 {
        let old = cluster.settled(false);
        let fault = Cluster::now();
        let body = format!(r#"{{"leader":"{}"}}"#, cluster.nodes[old].name);
        let (code, text) = rest::request("POST", cluster.nodes[old].rest, "/switchover", &body).expect("an answer");
        assert_eq!(code, 200, "{text}");
        cluster.next_primary(old, SLACK);
        writer.writes_again(SLACK);
        println!("write gap {:?}", writer.so_far().gap_after(fault));
    }
    cluster.verdict(writer, false);
}

/// A promotion that takes 3 s: the new leader says so, but nothing points to it before it is writable.
fn slow_promotion(kind: Kind) {
    let options = Options { parameters: vec!["recovery_end_command: 'sleep 3'".into()], ..Options::default() };
    let mut cluster = Cluster::start(kind, 3, &options);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let standby = cluster.named_standby().expect("a standby");
    let old_address = address(&cluster, old);
    cluster.nodes[old].kill();
    wait::until("the standby holds the lease", TTL + SLACK, || match cluster.nodes[standby].get("/leader") {
        200 => Ok(()),
        other => Err(format!("/leader {other}")),
    });
    let begun = Instant::now();
    let mut looks = 0;
    while cluster.nodes[standby].get("/primary") != 200 {
        let answer = dns::addresses(cluster.nodes[standby].dns, PRIMARY).expect("an answer");
        // Asked before /primary is asked again: a name that had moved here would have moved too early.
        if cluster.nodes[standby].get("/primary") == 503 {
            assert!(!answer.contains(&address(&cluster, standby)), "the name moved to a server that is not writable");
            assert!(!answer.contains(&old_address), "the name still points to the lost node");
            looks += 1;
        }
        assert!(begun.elapsed() < TTL + SLACK, "never writable");
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "the promotion was not slow: {:?}", begun.elapsed());
    assert!(looks > 10, "only {looks} looks while it was being promoted");
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    name_follows(&cluster, standby, &others);
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}

/// A stopped service gives its leadership away in order: no waiting for the lease, exit code 0, nothing left behind.
fn service_stopped(kind: Kind) {
    let mut cluster = Cluster::start(kind, 3, &Options::default());
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let begun = Instant::now();
    let code = cluster.nodes[old].stop(Duration::from_secs(20));
    assert_eq!(code, Some(0), "an ordered end");
    assert!(cluster.nodes[old].postgres_processes().is_empty(), "PostgreSQL is down");
    cluster.next_primary(old, SLACK);
    println!("taken over {:?} after the stop was asked for", begun.elapsed());
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}
