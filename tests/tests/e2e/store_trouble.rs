//! etcd that takes no writes, and etcd that wants a login: said in words wherever one looks, and over when etcd is well again.

use std::{process::Command, time::Duration};
use tanist_tests::{
    cluster::Cluster,
    command::tanist,
    node::Options,
    rest,
    store::{Kind, Store},
    wait,
};

const SLACK: Duration = Duration::from_secs(30);

fn etcdctl(store: &Store, arguments: &[&str]) {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &store.client()])
        .args(arguments)
        .output()
        .expect("etcdctl runs");
    assert!(output.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Raises the alarm that etcd raises when its quota is used up.
fn fill(store: &Store) {
    let at = store.client().parse().expect("an address");
    let (_, status) = rest::request("POST", at, "/v3/maintenance/status", "{}").expect("etcd's status");
    let member = status.split("\"member_id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a member").to_owned();
    let body = format!("{{\"action\":\"ACTIVATE\",\"memberID\":\"{member}\",\"alarm\":\"NOSPACE\"}}");
    let (code, answer) = rest::request("POST", at, "/v3/maintenance/alarm", &body).expect("etcd's answer");
    assert_eq!(code, 200, "{answer}");
}

/// The words in the node's REST API, its log and the story that `explain` tells.
pub fn says(cluster: &Cluster, words: &str) {
    let node = &cluster.nodes[0];
    let view = wait::until("REST names the trouble", SLACK, || {
        let view = node.view()?;
        let said = view["tanist"]["store_error"].as_str().is_some_and(|said| said.contains(words));
        if said { Ok(view) } else { Err(view.to_string()) }
    });
    println!("{}", view["tanist"]["store_error"]);
    assert!(view["tanist"]["store_error_since"].as_str().is_some_and(|since| since.starts_with("20")), "{view}");
    wait::until("the log names it", SLACK, || if node.told().contains(words) { Ok(()) } else { Err(node.told()) });
    let (_, story) = rest::request("GET", node.rest, "/explain", "").expect("the story");
    assert!(story.contains(words), "{story}");
    wait::until("it gives up its primary", SLACK, || match node.get("/primary") {
        503 => Ok(()),
        code => Err(code.to_string()),
    });
    assert_eq!(node.get("/liveness"), 200, "it lives and tries");
}

#[test]
fn a_full_store_and_one_that_wants_a_login_are_named() {
    let cluster = Cluster::start(Kind::Etcd, 1, &Options { synchronous: false, ..Options::default() });
    let config = cluster.nodes[0].config().display().to_string();
    let pids = cluster.nodes[0].pids();

    fill(&cluster.store);
    says(&cluster, "etcd is out of space (alarm NOSPACE)");
    let list = tanist(&["list", "--config", &config]).output();
    assert!(list.contains("n1: the store refused: ") && list.contains("NOSPACE"), "{list}");
    etcdctl(&cluster.store, &["alarm", "disarm"]);
    cluster.settled(false);

    for arguments in [&["user", "add", "root:master"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]] {
        etcdctl(&cluster.store, arguments);
    }
    says(&cluster, "etcd3.username: etcd wants a login");
    tanist(&["list", "--config", &config]).refuses(&[&config, "etcd3.username: etcd wants a login"]);
    etcdctl(&cluster.store, &["--user", "root:master", "auth", "disable"]);
    cluster.settled(false);
    let list = tanist(&["list", "--config", &config]).output();
    assert!(list.contains("| n1 ") && !list.contains("the store"), "{list}");
    assert_eq!(cluster.nodes[0].pids().agent, pids.agent, "the same agent all the time");
}
