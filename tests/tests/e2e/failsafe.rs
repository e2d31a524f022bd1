//! Failsafe mode: three nodes with addresses of their own, three etcd members that are all frozen or killed, and a client that writes every
//! 10 ms. How long the store is away is `TANIST_AWAY` seconds, four leases where that is not set.

use std::time::Duration;
use tanist_tests::{
    cluster::Cluster,
    command::tanist,
    net::as_root,
    node::{Node, Options},
    process, rest, wait,
};

/// The lease, as long as the tests use it.
const TTL: Duration = Duration::from_secs(5);
/// A busy machine may need this much longer than the protocol.
const SLACK: Duration = Duration::from_secs(15);
/// Without the mode nothing is written for as long as the store is away, less one lease; with it the client sees a busy machine.
const NO_OUTAGE: Duration = Duration::from_secs(3);
/// etcd's port for its clients, and for its members.
const ETCD: [u16; 2] = [2379, 2380];

fn away() -> Duration {
    let seconds = std::env::var("TANIST_AWAY").ok().map(|text| text.parse().expect("TANIST_AWAY is a number of seconds"));
    seconds.map_or(TTL * 4, Duration::from_secs)
}

fn options() -> Options {
    Options { failsafe: true, ..Options::default() }
}

/// The host of a node.
fn host(index: usize) -> u8 {
    u8::try_from(index + 1).expect("a small number")
}

/// The numbers of all nodes but one.
fn others(index: usize) -> impl Iterator<Item = usize> {
    (0..3).filter(move |other| *other != index)
}

fn whole() -> (Cluster, usize) {
    let cluster = Cluster::on_hosts(&options());
    let leader = cluster.primary().expect("a primary");
    named(&cluster, leader);
    (cluster, leader)
}

/// The lease record and `/failsafe` name all three.
fn named(cluster: &Cluster, leader: usize) {
    wait::until("all members are named", SLACK, || {
        let said = rest::json(cluster.nodes[leader].rest, "/failsafe")?;
        let all = said.as_object().is_some_and(|named| named.len() == 3);
        let written = cluster.nodes[leader].state().join("failsafe.json").is_file();
        if all && written { Ok(()) } else { Err(format!("{said}, file: {written}")) }
    });
}

fn active(node: &Node) -> Result<(), String> {
    let view = node.view()?;
    if view["failsafe_mode_is_active"] == true { Ok(()) } else { Err(view.to_string()) }
}

/// What must not change.
#[derive(Debug, PartialEq)]
struct Reign {
    leader: usize,
    postmaster: Option<i32>,
    timeline: u64,
}

fn reign(cluster: &Cluster) -> Reign {
    let leader = cluster.primary().expect("a primary");
    Reign { leader, postmaster: cluster.nodes[leader].pids().postmaster, timeline: cluster.timeline(leader) }
}

/// The leader answers `/primary` from now until the fault has stood that long, asked all the time.
fn stays(cluster: &Cluster, leader: usize, fault: u64, span: Duration) {
    let end = fault + u64::try_from(span.as_nanos()).expect("a short time");
    wait::until("the store has been away that long", span + SLACK, || {
        if Cluster::now() > end {
            return Ok(());
        }
        assert_eq!(cluster.nodes[leader].get("/primary"), 200, "the primary stays");
        Err("not yet".into())
    });
}

/// Writes that the leader refused or left in doubt since then, and the longest time between two acknowledgements.
fn outcome(cluster: &Cluster, notes: &tanist_tests::writer::Notes, leader: usize, fault: u64, what: &str) {
    let address = cluster.nodes[leader].postgres.ip().to_string();
    let of = |word| notes.of(word).filter(|note| note.at > fault && note.node == address).count();
    let (gap, failed, doubt, acknowledged) = (notes.gap_after(fault), of("fail"), of("doubt"), of("ack"));
    println!(
        "{what}, store away {:?}: longest gap {gap:?}, refused {failed}, in doubt {doubt}, acknowledged {acknowledged}",
        away()
    );
    assert!(acknowledged > 100, "{what}: only {acknowledged} writes");
    assert_eq!((failed, doubt), (0, 0), "{what}: every write was acknowledged");
    assert!(gap < NO_OUTAGE, "{what}: {gap:?} without a write");
}

#[test]
fn the_whole_store_is_away() {
    as_root(module_path!(), "the_whole_store_is_away", || {
        let (mut cluster, leader) = whole();
        let reign = reign(&cluster);
        frozen(&cluster, leader);
        assert_eq!(self::reign(&cluster), reign, "nothing was restarted");
        killed_and_agents_restarted(&mut cluster, leader);
        assert_eq!(self::reign(&cluster), reign, "nothing was restarted");
    });
}

/// Every etcd member stands still.
fn frozen(cluster: &Cluster, leader: usize) {
    let (writer, epoch) = (cluster.writer(), cluster.epoch());
    let members: Vec<i32> = cluster.store.members.iter().map(|member| member.pid()).collect();
    members.iter().for_each(|pid| process::freeze(*pid));
    let fault = Cluster::now();
    for node in &cluster.nodes {
        wait::until("failsafe mode is active", TTL, || active(node));
    }
    let (_, metrics) = rest::request("GET", cluster.nodes[leader].rest, "/metrics", "").expect("metrics");
    assert!(
        metrics.lines().any(|line| line.starts_with("patroni_failsafe_mode_is_active{") && line.ends_with(" 1")),
        "{metrics}"
    );
    stays(cluster, leader, fault, away());
    let view = cluster.nodes[leader].view().expect("its view");
    assert_eq!(view["tanist"]["reason_kind"], "leading-failsafe", "{view}");
    for other in others(leader) {
        let view = cluster.nodes[other].view().expect("its view");
        assert_eq!(view["tanist"]["reason_kind"], "following-failsafe", "{view}");
        assert_eq!(cluster.nodes[other].get("/readiness"), 200, "it follows");
    }
    members.iter().for_each(|pid| process::thaw(*pid));
    wait::until("failsafe mode is over", TTL + SLACK, || match cluster.nodes.iter().find(|node| active(node).is_ok()) {
        Some(node) => Err(node.name.clone()),
        None => Ok(()),
    });
    let notes = cluster.verdict(writer, true);
    outcome(cluster, &notes, leader, fault, "frozen");
    // The leader key hangs on etcd's own expiry, which goes on counting: one that is gone is put back, which is a new epoch.
    println!("epoch {epoch} before, {} after", cluster.epoch());
    assert!(cluster.epoch() >= epoch);
}

/// Every etcd member is killed; meanwhile the leader's agent and a standby's are killed, and start again without a store.
fn killed_and_agents_restarted(cluster: &mut Cluster, leader: usize) {
    named(cluster, leader);
    let (writer, epoch) = (cluster.writer(), cluster.epoch());
    cluster.store.down();
    let fault = Cluster::now();
    stays(cluster, leader, fault, away() / 3);
    let standby = others(leader).next().expect("a standby");
    for (node, span) in [(standby, away() * 2 / 3), (leader, away())] {
        let agent = cluster.nodes[node].pids().agent;
        process::kill(agent);
        wait::until("the agent runs again", SLACK, || match cluster.nodes[node].pids().agent {
            0 => Err("none".into()),
            pid if pid == agent => Err("the old one".into()),
            _ => Ok(()),
        });
        wait::until("it answers", SLACK, || active(&cluster.nodes[node]));
        wait::until("the guard's deadline has moved", TTL, || active(&cluster.nodes[leader]));
        wait::until("the primary answers", TTL, || match cluster.nodes[leader].get("/primary") {
            200 => Ok(()),
            code => Err(code.to_string()),
        });
        stays(cluster, leader, fault, span);
    }
    cluster.store.up();
    cluster.settled(true);
    let notes = cluster.verdict(writer, true);
    outcome(cluster, &notes, leader, fault, "killed, two agents killed meanwhile");
    println!("epoch {epoch} before, {} after", cluster.epoch());
}

#[test]
fn a_member_that_cannot_be_asked_ends_it() {
    as_root(module_path!(), "a_member_that_cannot_be_asked_ends_it", || {
        let (cluster, leader) = whole();
        one_unreachable(&cluster, leader);
        let leader = cluster.settled(true);
        named(&cluster, leader);
        alone_without_the_store(&cluster, leader);
    });
}

/// The store is away and one standby does not hear the primary: fenced before the lease ends, and nobody else leads.
fn one_unreachable(cluster: &Cluster, leader: usize) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let members: Vec<i32> = cluster.store.members.iter().map(|member| member.pid()).collect();
    members.iter().for_each(|pid| process::freeze(*pid));
    let fault = Cluster::now();
    wire.part(host(leader), host(others(leader).next().expect("a standby")));
    wait::until("the primary is fenced", TTL + Duration::from_secs(1), || match cluster.nodes[leader].get("/primary") {
        200 => Err("it says primary".into()),
        _ => Ok(()),
    });
    println!("fenced {:?} after the fault", Duration::from_nanos(Cluster::now() - fault));
    let (_, story) = rest::request("GET", cluster.nodes[leader].rest, "/explain", "").expect("the story");
    assert!(story.contains("does not agree to wait"), "{story}");
    let end = Cluster::now() + u64::try_from((TTL * 2).as_nanos()).expect("a short time");
    wait::until("two more leases have passed", TTL * 3, || {
        let primary = cluster.nodes.iter().find(|node| node.get("/primary") == 200);
        assert!(primary.is_none(), "nobody leads without the store: {:?}", primary.map(|node| &node.name));
        if Cluster::now() > end { Ok(()) } else { Err("not yet".into()) }
    });
    assert!(wire.dropped() > 0, "packets were dropped");
    wire.mend();
    members.iter().for_each(|pid| process::thaw(*pid));
    cluster.verdict(writer, true);
}

/// Only the primary is cut off from the store: it stays, although the others could take over. Then one of them does not hear it any more:
/// fenced, and another takes over.
fn alone_without_the_store(cluster: &Cluster, leader: usize) {
    let (writer, wire) = (cluster.writer(), &cluster.place.net().wire);
    let fault = Cluster::now();
    for port in ETCD {
        wire.isolate_port(host(leader), port);
    }
    stays(cluster, leader, fault, TTL * 3);
    assert_eq!(cluster.primary(), Ok(leader), "nobody else leads");
    let other = others(leader).next().expect("a standby");
    let config = cluster.nodes[other].config().display().to_string();
    let list = tanist(&["list", "--config", &config]).output();
    assert!(list.contains("without the store"), "{list}");
    let cut = Cluster::now();
    wire.part(host(leader), host(other));
    wait::until("the primary is fenced", TTL * 2, || match cluster.nodes[leader].get("/primary") {
        200 => Err("it says primary".into()),
        _ => Ok(()),
    });
    println!("fenced {:?} after a standby could not be asked", Duration::from_nanos(Cluster::now() - cut));
    let new = cluster.next_primary(leader, TTL + SLACK);
    wire.mend();
    assert_eq!(cluster.settled(true), new, "the old primary follows");
    cluster.verdict(writer, true);
}

#[test]
fn switched_on_and_off() {
    let cluster = Cluster::start(tanist_tests::store::Kind::Etcd, 2, &Options::default());
    let leader = cluster.primary().expect("a primary");
    let node = &cluster.nodes[leader];
    assert_eq!(node.get("/failsafe"), 502, "off");
    let patch = |body: &str| rest::request("PATCH", node.rest, "/config", body).expect("an answer").0;
    assert_eq!(patch(r#"{"failsafe_mode": true}"#), 200);
    wait::until("both are named", SLACK, || match rest::json(node.rest, "/failsafe") {
        Ok(named) if named.as_object().is_some_and(|named| named.len() == 2) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    strangers_are_refused(&cluster, leader);
    assert_eq!(patch(r#"{"failsafe_mode": null}"#), 200);
    wait::until("it is off", SLACK, || match node.get("/failsafe") {
        502 => Ok(()),
        code => Err(code.to_string()),
    });
    // The store goes away: fenced as ever.
    let members: Vec<i32> = cluster.store.members.iter().map(|member| member.pid()).collect();
    wait::until("the record names nobody", SLACK, || {
        if node.state().join("failsafe.json").exists() { Err("the file is there".into()) } else { Ok(()) }
    });
    members.iter().for_each(|pid| process::freeze(*pid));
    wait::until("the primary is fenced", TTL + SLACK, || match node.get("/primary") {
        200 => Err("it says primary".into()),
        _ => Ok(()),
    });
    members.iter().for_each(|pid| process::thaw(*pid));
    cluster.settled(true);
}

/// A member that was away for long is named no more. When the leader is lost for good it stays out, says so to the others, too, and takes
/// over when an operator has said that the leader is gone.
#[test]
fn whoever_is_not_named_takes_over_when_told_so() {
    let mut cluster = Cluster::start(tanist_tests::store::Kind::Etcd, 2, &Options { synchronous: false, ..options() });
    let leader = cluster.primary().expect("a primary");
    let (other, name) = (1 - leader, cluster.nodes[leader].name.clone());
    cluster.nodes[other].kill();
    let kept = cluster.nodes[leader].state().join("failsafe.json");
    wait::until("the leader names itself alone", TTL * 3 + SLACK, || {
        let text = std::fs::read_to_string(&kept).map_err(|error| error.to_string())?;
        if text.contains(&cluster.nodes[other].name) || !text.contains(&name) { Err(text) } else { Ok(()) }
    });
    cluster.nodes[leader].kill();
    cluster.nodes[other].start();
    let node = &cluster.nodes[other];
    wait::until("it stays out and says why", TTL * 3 + SLACK, || {
        let own = &node.view()?["tanist"];
        if own["reason_kind"] == "not-named" && own["barred"] == true { Ok(()) } else { Err(own.to_string()) }
    });
    let since = std::time::Instant::now();
    wait::until("two leases have passed", TTL * 2 + SLACK, || {
        assert_ne!(node.get("/primary"), 200, "it was not named");
        if since.elapsed() > TTL * 2 { Ok(()) } else { Err("not yet".into()) }
    });
    let config = node.config().display().to_string();
    let said = tanist(&["repair", "failsafe", "--config", &config, "--leader-is-gone"]).output();
    assert!(said.contains(&format!("the lease record of {name} named {name};")), "{said}");
    wait::until("it leads", TTL * 2 + SLACK, || match node.get("/primary") {
        200 => Ok(()),
        _ => Err(node.view()?["tanist"].to_string()),
    });
    assert!(node.view().expect("an answer")["tanist"]["barred"].is_null());
    cluster.nodes[leader].start();
    assert_eq!(cluster.settled(false), other, "the old leader follows");
}

/// Questions that are not meant for this node, or make no sense, or come to the primary.
fn strangers_are_refused(cluster: &Cluster, leader: usize) {
    let (primary, standby) = (&cluster.nodes[leader], &cluster.nodes[1 - leader]);
    let epoch = cluster.epoch();
    let question = |to: &str, scope: &str, epoch: u64, name: &str| {
        let own = format!(r#"{{"to":"{to}","scope":"{scope}","epoch":{epoch},"nonce":1,"ttl_ms":5000,"round":1}}"#);
        format!(r#"{{"name":"{name}","conn_url":null,"api_url":null,"slots":{{}},"tanist":{own}}}"#)
    };
    let ask = |node: &Node, body: &str| rest::request("POST", node.rest, "/failsafe", body).expect("an answer");
    let (code, text) = ask(primary, &question(&primary.name, "e2e", epoch + 5, &standby.name));
    assert_eq!(code, 500, "a primary: {text}");
    for (body, code, words) in [
        ("{}".to_owned(), 400, "name is missing"),
        ("[".to_owned(), 400, "JSON"),
        (question("n9", "e2e", epoch, &primary.name), 409, "not n9"),
        (question(&standby.name, "other", epoch, &primary.name), 409, "not other"),
        (question(&standby.name, "e2e", epoch - 1, &primary.name), 409, "is known here"),
        (question(&standby.name, "e2e", epoch, &primary.name), 409, "holds the lease"),
        (r#"{"name":"stranger","slots":{}}"#.to_owned(), 409, "not known here as the leader"),
    ] {
        let (got, text) = ask(standby, &body);
        assert_eq!(got, code, "{body}: {text}");
        assert!(text.contains(words), "{body}: {text}");
    }
    // In Patroni's form, from the leader this node knows.
    let body =
        format!(r#"{{"name":"{}","conn_url":"postgres://h/postgres","api_url":"http://h/patroni","slots":{{}}}}"#, primary.name);
    let (code, text) = ask(standby, &body);
    assert_eq!(code, 409, "the record says under which nonce it leads: {text}");
}
