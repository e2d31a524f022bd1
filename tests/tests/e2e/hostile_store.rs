//! Garbage in the store's keys, put there by other hands while a cluster runs under a writing client: named wherever one looks, nothing
//! crashes, nothing acknowledged is lost, and what the leader knows better is put right again.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};
use tanist_tests::{
    cluster::Cluster,
    command::tanist,
    node::{Node, Options},
    process, rest,
    store::{Kind, Store},
    wait,
};

const SLACK: Duration = Duration::from_secs(30);
const PREFIX: &str = "/service/e2e/";

/// etcdctl, as somebody at a terminal has it; what goes in and what comes out are bytes.
fn etcdctl(store: &Store, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &store.client()]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("etcdctl runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("its input");
    let output = child.wait_with_output().expect("its output");
    assert!(output.status.success(), "etcdctl {arguments:?}");
    output.stdout
}

fn put(store: &Store, key: &str, value: &[u8]) {
    let key = format!("{PREFIX}{key}");
    // It takes an empty value from its arguments only.
    let arguments = if value.is_empty() { vec!["put", key.as_str(), ""] } else { vec!["put", key.as_str()] };
    etcdctl(store, &arguments, value);
}

fn get(store: &Store, key: &str) -> Vec<u8> {
    let mut value = etcdctl(store, &["get", "--print-value-only", &format!("{PREFIX}{key}")], b"");
    assert_eq!(value.pop(), Some(b'\n'), "{key} is there");
    value
}

/// Values that mean nothing, each in its own way.
fn junk() -> Vec<Vec<u8>> {
    let wrong = r#"{"ttl":"five","leader":[1],"member":{},"sync_standby":7,"quorum":"x","optime":"far","slots":3,"conn_url":9,"state":[],
        "role":{},"epoch":"no","name":1,"host":false,"port":"x","timeline":-1,"to":5,"claims":"all","scheduled_at":1,"version":{}}"#;
    vec![
        b"\xff\xfe\x00\x80garbage".to_vec(),
        b"{\"leader\":\"\xc3\x28\",\"role\":\"\xc3\x28\",\"ttl\":\"\xc3\x28\"}".to_vec(),
        b"{\"a\":".to_vec(),
        b"-1.5e999".to_vec(),
        b"[[], {}, null]".to_vec(),
        b"[".repeat(200_000),
        vec![b'x'; 1_000_000],
        wrong.as_bytes().to_vec(),
    ]
}

/// Keys that neither are the lease nor decide who has it.
const KEYS: [&str; 14] = [
    "members/n1",
    "members/n2",
    "members/n3",
    "members/stranger",
    "config",
    "initialize",
    "history",
    "failover",
    "sync",
    "status",
    "failsafe",
    "tanist/primary",
    "tanist/timelines",
    "tanist/handoff",
];

/// A switchover, so that a timeline has been claimed.
fn claimed(cluster: &Cluster) {
    let old = cluster.settled(true);
    let config = cluster.nodes[0].config().display().to_string();
    // A cluster this young may refuse the first one; what is tested comes after it.
    wait::until("a switchover", SLACK * 2, || match tanist(&["switchover", "--config", &config]) {
        answer if answer.code == 0 => Ok(()),
        answer => Err(answer.err),
    });
    cluster.next_primary(old, SLACK);
    cluster.settled(true);
}

fn complaints(node: &Node) -> Result<String, String> {
    Ok(node.view()?["tanist"]["complaints"].to_string())
}

#[test]
fn garbage_in_every_key_disturbs_nobody() {
    let cluster = Cluster::start(Kind::Etcd, 3, &Options::default());
    let writer = cluster.writer();
    claimed(&cluster);
    let (primary, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let pids: Vec<_> = cluster.nodes.iter().map(|node| (node.pids().agent, node.pids().postmaster)).collect();
    let good = get(&cluster.store, "config");
    let promises = cluster.nodes.iter().map(|node| format!("tanist/promise/{}", node.name));
    for key in KEYS.map(str::to_owned).into_iter().chain(promises) {
        for value in junk() {
            put(&cluster.store, &key, &value);
        }
        writer.writes_again(SLACK);
    }
    let standby = &cluster.nodes[(primary + 1) % 3];
    wait::until("every node says that /config cannot be read", SLACK, || {
        match cluster.nodes.iter().find(|node| !complaints(node).is_ok_and(|said| said.contains("/config cannot be read: "))) {
            None => Ok(()),
            Some(node) => Err(complaints(node)?),
        }
    });
    let list = tanist(&["list", "--config", &standby.config().display().to_string()]).output();
    println!("{list}");
    assert!(list.contains(&format!("{}: /config cannot be read: ", standby.name)), "{list}");
    assert!(list.contains(&format!("{PREFIX}members/stranger cannot be read: ")), "{list}");
    assert!(standby.told().contains("/config cannot be read: "), "the log");
    wait::until("what the leader knows is right again", SLACK, || {
        for key in ["initialize", "sync", "tanist/timelines", "tanist/primary"] {
            let value = get(&cluster.store, key);
            let sound = std::str::from_utf8(&value).is_ok_and(|text| text.len() < 1_000 && !text.contains("\"claims\":\"all\""));
            if !sound {
                return Err(format!("{key}: {:?}", String::from_utf8_lossy(&value[..value.len().min(100)])));
            }
        }
        Ok(())
    });
    // An agent that starts among all this knows what it knew before.
    let agent = standby.pids().agent;
    process::kill(agent);
    wait::until("its successor is a replica", SLACK, || match (standby.pids().agent, standby.get("/replica")) {
        (next, 200) if next != agent && next != 0 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    wait::until("it has read the store", SLACK, || match &standby.view()?["tanist"]["lease"] {
        lease if lease == "theirs" => Ok(()),
        lease => Err(lease.to_string()),
    });
    put(&cluster.store, "config", &good);
    wait::until("/config is read again", SLACK, || {
        match cluster.nodes.iter().find(|node| !complaints(node).is_ok_and(|said| !said.contains("/config"))) {
            None => Ok(()),
            Some(node) => Err(complaints(node)?),
        }
    });
    let now: Vec<_> = cluster.nodes.iter().map(|node| (node.pids().agent, node.pids().postmaster)).collect();
    for index in (0..3).filter(|index| cluster.nodes[*index].name != standby.name) {
        assert_eq!(now[index], pids[index], "the same processes on {}", cluster.nodes[index].name);
    }
    assert_eq!((cluster.primary(), cluster.epoch()), (Ok(primary), epoch), "the same leader");
    cluster.verdict(writer, true);
    // And the history of garbage is no obstacle to the next leader.
    let writer = cluster.writer();
    let config = cluster.nodes[0].config().display().to_string();
    tanist(&["switchover", "--config", &config]).output();
    cluster.next_primary(primary, SLACK);
    cluster.verdict(writer, true);
}

/// Values that can be read and are nobody's: an empty identifier, member keys that say nothing of whom, a timeline and an epoch that
/// nobody has reached. No process ends, what is known better is put right, and the next leader neither waits nor counts on from there.
#[test]
fn values_that_could_be_true_disturb_nobody() {
    let cluster = Cluster::start(Kind::Etcd, 3, &Options::default());
    let writer = cluster.writer();
    let primary = cluster.primary().expect("a primary");
    let pids: Vec<_> = cluster.nodes.iter().map(|node| (node.pids().agent, node.pids().postmaster)).collect();
    let known = get(&cluster.store, "initialize");
    put(&cluster.store, "initialize", b"");
    for node in &cluster.nodes {
        for value in
            ["{}", r#"{"state":"running","role":"replica"}"#, r#"{"state":"stopped","role":"uninitialized","version":"4.1.4"}"#]
        {
            put(&cluster.store, &format!("members/{}", node.name), value.as_bytes());
        }
    }
    put(&cluster.store, "members/stranger", br#"{"state":"running","role":"replica","timeline":4000000000}"#);
    // Longer than a twin is waited for.
    std::thread::sleep(Duration::from_secs(12));
    writer.writes_again(SLACK);
    wait::until("what each node knows is right again", SLACK, || {
        if get(&cluster.store, "initialize") != known {
            return Err("/initialize".to_owned());
        }
        let lost = cluster.nodes.iter().find(|node| {
            let value = get(&cluster.store, &format!("members/{}", node.name));
            !String::from_utf8_lossy(&value).contains(&node.postgres.to_string())
        });
        lost.map_or(Ok(()), |node| Err(node.name.clone()))
    });
    let now: Vec<_> = cluster.nodes.iter().map(|node| (node.pids().agent, node.pids().postmaster)).collect();
    assert_eq!((now, cluster.primary()), (pids, Ok(primary)), "the same processes, the same leader");

    // Nobody can lead under a lower epoch than one that was promised, until the base is repaired.
    let promise = format!(r#"{{"epoch":{},"position_known":false}}"#, cluster.epoch() + 1_000_000);
    put(&cluster.store, "tanist/promise/stranger", promise.as_bytes());
    let config = cluster.nodes[0].config().display().to_string();
    let said = tanist(&["repair", "epoch", "--config", &config]).output();
    assert!(said.contains("tanist/promise/stranger"), "{said}");
    wait::until("a switchover", SLACK * 2, || match tanist(&["switchover", "--config", &config]) {
        answer if answer.code == 0 => Ok(()),
        answer => Err(answer.err),
    });
    let new = cluster.next_primary(primary, SLACK);
    assert!(cluster.timeline(new) < 10, "timeline {}", cluster.timeline(new));
    cluster.verdict(writer, true);
}

/// The primary's node is lost, and nobody can read who may lead: nobody does, and says why. Then it is put back.
#[test]
fn without_a_readable_sync_nobody_takes_over() {
    let mut cluster = Cluster::start(Kind::Etcd, 3, &Options::default());
    let writer = cluster.writer();
    claimed(&cluster);
    let old = cluster.primary().expect("a primary");
    let keys = ["sync", "tanist/timelines", "initialize"];
    let good: Vec<Vec<u8>> = keys.iter().map(|key| get(&cluster.store, key)).collect();
    cluster.nodes[old].kill();
    for key in keys {
        put(&cluster.store, key, b"\xff garbage");
    }
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    wait::until("the candidate says why it does not lead", SLACK, || {
        let said: String = others.iter().map(|index| cluster.nodes[*index].told()).collect();
        if said.contains("the lease is not taken while /sync cannot be read") { Ok(()) } else { Err("nobody does".into()) }
    });
    for index in &others {
        let said = complaints(&cluster.nodes[*index]).expect("its view");
        assert!(keys.iter().all(|key| said.contains(&format!("{PREFIX}{key} cannot be read: "))), "{said}");
    }
    assert!(cluster.primary().is_err(), "nobody was promoted");
    put(&cluster.store, "sync", &good[0]);
    let new = cluster.next_primary(old, SLACK);
    assert!(others.contains(&new));
    wait::until("the new leader has put the rest right", SLACK, || match get(&cluster.store, "initialize") {
        value if value == good[2] => Ok(()),
        value => Err(String::from_utf8_lossy(&value).into_owned()),
    });
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}

/// The leader key overwritten by hand is somebody else's: the holder is fenced, nobody leads, and everybody says who has it.
#[test]
fn a_leader_key_overwritten_by_hand() {
    let cluster = Cluster::start(Kind::Etcd, 3, &Options::default());
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    put(&cluster.store, "leader", b"somebody");
    wait::until("the holder is fenced", SLACK, || match cluster.primary() {
        Err(_) if cluster.nodes[old].view()?["tanist"]["lease"] == "theirs" => Ok(()),
        other => Err(format!("{other:?}: {}", cluster.nodes[old].view()?)),
    });
    wait::until("everybody names who has it", SLACK, || {
        for node in &cluster.nodes {
            let view = node.view()?;
            if !view["tanist"]["reason"].as_str().is_some_and(|reason| reason.contains("somebody")) {
                return Err(view.to_string());
            }
        }
        Ok(())
    });
    println!("{}", cluster.nodes[old].view().expect("its view")["tanist"]["reason"]);
    etcdctl(&cluster.store, &["del", &format!("{PREFIX}leader")], b"");
    wait::until("somebody leads again", SLACK, || cluster.primary());
    cluster.verdict(writer, true);
}

/// The lease record overwritten: the holder is fenced, the record is waited for like a silent holder's, and then taken over. The base of
/// the epochs, too: nobody takes over until it is repaired.
#[test]
fn lease_and_base_overwritten_by_hand() {
    let mut cluster = Cluster::start(Kind::Etcd, 3, &Options::default());
    let writer = cluster.writer();
    let epoch = cluster.epoch();
    for value in junk() {
        put(&cluster.store, "tanist/lease", &value);
    }
    wait::until("there is a leader of a newer epoch", SLACK, || {
        cluster.primary()?;
        let now = cluster.epoch();
        if now > epoch { Ok(()) } else { Err(now.to_string()) }
    });
    cluster.settled(true);

    let old = cluster.primary().expect("a primary");
    put(&cluster.store, "tanist/epoch", b"\xff garbage");
    writer.writes_again(SLACK);
    cluster.nodes[old].kill();
    let config = cluster.nodes[(old + 1) % 3].config().display().to_string();
    wait::until("somebody says why nobody takes over", SLACK, || {
        let said = tanist(&["list", "--config", &config]).output();
        if said.contains("epoch") { Ok(said) } else { Err(said) }
    });
    assert!(cluster.primary().is_err(), "nobody was promoted");
    let said = tanist(&["repair", "epoch", "--config", &config]).output();
    println!("{said}");
    let new = cluster.next_primary(old, SLACK);
    let (code, text) = rest::request("GET", cluster.nodes[new].rest, "/cluster", "").expect("an answer");
    assert_eq!(code, 200, "{text}");
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}
