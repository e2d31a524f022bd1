//! What people and their tools see: REST as Patroni answers it, the command line, the store's keys, the names.

use crate::password::{AUTHORIZED, with_password};
use std::{
    net::{IpAddr, SocketAddr},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tanist_tests::{
    cluster::Cluster,
    command::{self, tanist},
    dns,
    node::Options,
    place,
    rest::{self, request_with},
    store::Kind,
    wait,
};

const SLACK: Duration = Duration::from_secs(20);
const ZONE: &str = "db.example";
/// Path, and its code at the primary, the synchronous standby and another replica.
const CODES: [(&str, [u16; 3]); 22] = [
    ("/", [200, 503, 503]),
    ("/primary", [200, 503, 503]),
    ("/master", [200, 503, 503]),
    ("/read-write", [200, 503, 503]),
    ("/leader", [200, 503, 503]),
    ("/replica", [503, 200, 200]),
    ("/replica?lag=100MB", [503, 200, 200]),
    ("/replica?tag_none=x", [503, 503, 503]),
    ("/read-only", [200, 200, 200]),
    ("/sync", [503, 200, 503]),
    ("/async", [503, 503, 200]),
    ("/health", [200, 200, 200]),
    ("/liveness", [200, 200, 200]),
    ("/readiness", [200, 200, 200]),
    ("/patroni", [200, 200, 200]),
    ("/cluster", [200, 200, 200]),
    ("/config", [200, 200, 200]),
    ("/history", [200, 200, 200]),
    ("/metrics", [200, 200, 200]),
    ("/failsafe", [502, 502, 502]),
    ("/primary/", [200, 503, 503]),
    ("/nothing", [404, 404, 404]),
];

/// REST, command line and keys of one cluster on etcd; at the end a switchover by the command line.
#[test]
fn a_cluster_as_its_users_see_it() {
    let cluster = with_password();
    let primary = cluster.primary().expect("a primary");
    let sync = cluster.named_standby().expect("a standby");
    let other = 3 - primary - sync;
    rest_codes(&cluster, [primary, sync, other]);
    rest_bodies(&cluster, [primary, sync, other]);
    refusals(&cluster, [primary, sync, other]);
    keys(&cluster, [primary, sync, other]);
    commands(&cluster, [primary, sync, other]);
}

fn rest_codes(cluster: &Cluster, roles: [usize; 3]) {
    for (path, codes) in CODES {
        for (index, code) in roles.into_iter().zip(codes) {
            let node = &cluster.nodes[index];
            for method in ["GET", "HEAD", "OPTIONS"] {
                // A replica may be between two looks: what is asked is what it says as soon as it can.
                wait::until(&format!("{method} {path} at {} is {code}", node.name), SLACK, || {
                    let (found, body) = rest::request(method, node.rest, path, "")?;
                    assert_eq!(body.is_empty(), method != "GET", "{method} {path}: {body}");
                    if found == code { Ok(()) } else { Err(format!("{found}: {body}")) }
                });
            }
        }
    }
    let at = cluster.nodes[roles[0]].rest;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(rest::request(method, at, "/config", "{}").expect("an answer").0, 401, "{method} without the password");
    }
    for (method, path) in [("DELETE", "/config"), ("PUT", "/switchover"), ("TRACE", "/")] {
        assert_eq!(request_with(method, at, path, AUTHORIZED, "").expect("an answer").0, 501, "{method} {path}");
    }
    assert_eq!(request_with("DELETE", at, "/switchover", AUTHORIZED, "").expect("an answer").0, 404, "nothing is scheduled");
}

fn rest_bodies(cluster: &Cluster, [primary, sync, other]: [usize; 3]) {
    // The standby that came last is seen by the primary's next look.
    let view = wait::until("the primary shows both standbys", SLACK, || {
        let view = cluster.nodes[primary].view()?;
        if view["replication"].as_array().map(Vec::len) == Some(2) { Ok(view) } else { Err(view.to_string()) }
    });
    assert_eq!((view["state"].as_str(), view["role"].as_str()), (Some("running"), Some("primary")), "{view}");
    assert_eq!(view["patroni"]["scope"], "e2e", "{view}");
    assert_eq!(view["patroni"]["name"], cluster.nodes[primary].name.as_str(), "{view}");
    assert!(view["server_version"].as_u64() >= Some(130_000), "{view}");
    assert!(view["xlog"]["location"].as_u64() > Some(0) && view["timeline"] == 1, "{view}");
    assert!(view["postmaster_start_time"].is_string() && view["database_system_identifier"].is_string(), "{view}");
    let view = cluster.nodes[sync].view().expect("its view");
    assert_eq!((view["role"].as_str(), view["sync_standby"].as_bool()), (Some("replica"), Some(true)), "{view}");
    assert_eq!(view["replication_state"], "streaming", "{view}");
    assert!(view["xlog"]["replayed_location"].as_u64() > Some(0), "{view}");

    let body = rest::json(cluster.nodes[other].rest, "/cluster").expect("the cluster");
    assert_eq!(body["scope"], "e2e");
    let members = body["members"].as_array().expect("members");
    for (index, role) in [(primary, "leader"), (sync, "sync_standby"), (other, "replica")] {
        let node = &cluster.nodes[index];
        let member = members.iter().find(|member| member["name"] == node.name.as_str()).expect("the member");
        assert_eq!(member["role"], role, "{body}");
        assert_eq!(member["host"], node.postgres.ip().to_string().as_str(), "{body}");
        assert_eq!(member["port"], node.postgres.port(), "{body}");
        assert_eq!(member["api_url"], format!("http://{}/patroni", node.rest).as_str(), "{body}");
        assert_eq!(member["timeline"], 1, "{body}");
    }
}

/// `POST /switchover`: nothing without the password; wrong requests are refused in Patroni's words, and nothing happens.
fn refusals(cluster: &Cluster, [primary, _, other]: [usize; 3]) {
    let (node, name) = (&cluster.nodes[primary], &cluster.nodes[primary].name);
    let epoch = cluster.epoch();
    let ask = |headers: &str, body: &str| request_with("POST", node.rest, "/switchover", headers, body).expect("an answer");
    let good = format!(r#"{{"leader":"{name}"}}"#);
    for wrong in ["", "Authorization: Basic YWRtaW46d3Jvbmc=\r\n", "Authorization: Bearer s3cret\r\n"] {
        assert_eq!(ask(wrong, &good).0, 401, "{wrong}");
    }
    let async_standby = format!(r#"{{"leader":"{name}","candidate":"{}"}}"#, cluster.nodes[other].name);
    let oneself = format!(r#"{{"leader":"{name}","candidate":"{name}"}}"#);
    let stranger = format!(r#"{{"leader":"{name}","candidate":"n9"}}"#);
    for (body, code, words) in [
        ("", 400, ""),
        ("[]", 400, ""),
        ("{}", 400, "Switchover could be performed only from a specific leader"),
        (r#"{"leader":"n9"}"#, 412, "leader name does not match"),
        (oneself.as_str(), 400, "Switchover target and source are the same"),
        (stranger.as_str(), 412, "candidate does not exists"),
        (async_standby.as_str(), 412, "candidate name does not match with sync_standby"),
    ] {
        let (found, text) = ask(AUTHORIZED, body);
        assert_eq!(found, code, "{body}: {text}");
        assert!(text.contains(words), "{body}: {text}");
    }
    assert_eq!(cluster.primary(), Ok(primary), "nothing has happened");
    assert_eq!(cluster.epoch(), epoch, "nothing has happened");
}

/// The keys in the store, read with etcd's own tool.
fn keys(cluster: &Cluster, [primary, sync, _]: [usize; 3]) {
    let endpoint = format!("http://{}", cluster.store.client());
    let mut etcdctl = Command::new("etcdctl");
    etcdctl.env("ETCDCTL_API", "3").args(["--endpoints", &endpoint, "get", "--prefix", "/service/e2e/"]);
    let text = command::finish(&mut etcdctl).output();
    let lines: Vec<&str> = text.lines().collect();
    let value = |key: &str| {
        let at =
            lines.iter().position(|line| *line == format!("/service/e2e/{key}")).unwrap_or_else(|| panic!("no {key} in\n{text}"));
        lines[at + 1]
    };
    let json = |key: &str| -> serde_json::Value {
        serde_json::from_str(value(key)).unwrap_or_else(|error| panic!("{key}: {error}\n{text}"))
    };
    let name = |index: usize| cluster.nodes[index].name.as_str();
    assert_eq!(value("leader"), name(primary));
    assert!(value("initialize").parse::<u64>().is_ok(), "{text}");
    assert_eq!((json("sync")["leader"].as_str(), json("sync")["sync_standby"].as_str()), (Some(name(primary)), Some(name(sync))));
    assert!(json("status")["optime"].as_u64() > Some(0), "{text}");
    assert_eq!(json("config")["ttl"], 5);
    for (index, node) in cluster.nodes.iter().enumerate() {
        let member = json(&format!("members/{}", node.name));
        assert_eq!(member["conn_url"], format!("postgres://{}/postgres", node.postgres).as_str(), "{member}");
        assert_eq!(member["api_url"], format!("http://{}/patroni", node.rest).as_str(), "{member}");
        assert_eq!(member["role"], if index == primary { "primary" } else { "replica" }, "{member}");
        assert_eq!(member["state"], "running", "{member}");
        assert!(member["xlog_location"].as_u64() > Some(0) && member["timeline"] == 1, "{member}");
    }
    let face = json("tanist/primary");
    assert_eq!(face["name"], name(primary), "{face}");
    assert!(text.contains("/service/e2e/tanist/lease\n"), "{text}");
}

fn commands(cluster: &Cluster, [primary, sync, _]: [usize; 3]) {
    let config = cluster.nodes[primary].config().display().to_string();
    let list = |format: &str| tanist(&["list", "--config", &config, "--format", format]).output();
    let pretty = list("pretty");
    assert!(pretty.starts_with("+ Cluster: e2e (") && pretty.lines().count() == 7, "{pretty}");
    assert!(pretty.contains("| Member ") && pretty.contains("| Sync Standby "), "{pretty}");
    let tsv = list("tsv");
    let row = |name: &str| {
        tsv.lines().find(|line| line.starts_with(&format!("{name}\t"))).unwrap_or_else(|| panic!("no {name} in {tsv}"))
    };
    let (leader, standby) = (&cluster.nodes[primary], &cluster.nodes[sync]);
    assert!(row(&leader.name).starts_with(&format!("{}\t{}\tLeader\trunning\t1\t", leader.name, leader.postgres)), "{tsv}");
    assert!(
        row(&standby.name).starts_with(&format!("{}\t{}\tSync Standby\tstreaming\t1\t", standby.name, standby.postgres)),
        "{tsv}"
    );
    let json: serde_json::Value = serde_json::from_str(&list("json")).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(3), "{json}");
    assert!(
        json.as_array().expect("rows").iter().any(|row| row["Role"] == "Leader" && row["Member"] == leader.name.as_str()),
        "{json}"
    );
    assert_eq!(list("yaml").matches("Role: ").count(), 3);

    let version = tanist(&["version"]).output();
    assert!(version.starts_with("tanist 0."), "{version}");
    let check = tanist(&["check-config", &config]).output();
    assert!(check.contains(&format!("ok; node {} of cluster e2e", leader.name)), "{check}");
    let plugin = tanist(&["plugin", "check", "builtin:dns-update", "--grants", "dns"]).output();
    assert!(plugin.contains("component") && plugin.contains("missing    nothing"), "{plugin}");
    let ungranted = tanist(&["plugin", "check", "builtin:dns-update", "--name", "move"]);
    assert!(ungranted.code > 0 && ungranted.out.contains("plugins.move.grants.dns"), "{ungranted:?}");

    tanist(&["switchover", "--config", &config, "--leader", "n9"]).refuses(&["leader name does not match", "412"]);
    tanist(&["switchover", "--config", &config, "--candidate", "n9"]).refuses(&["candidate does not exists", "412"]);
    let done = tanist(&["switchover", "--config", &config, "--candidate", &standby.name]).output();
    assert_eq!(done.trim(), format!("Successfully switched over to \"{}\"", standby.name));
    assert_eq!(cluster.settled(true), sync, "it leads");
    let story = tanist(&["explain", "--config", &config]).output();
    assert!(story.contains(&format!("switchover to {}", standby.name)), "{story}");
    assert!(story.contains(&format!("{}  leading with epoch", standby.name)), "{story}");
    let history = rest::json(cluster.nodes[sync].rest, "/history").expect("the history");
    assert_eq!(history[0][0], 1, "timeline 1 has ended: {history}");
}

/// `tanist dns` beside the cluster.
struct Server {
    at: SocketAddr,
    child: Child,
}

impl Server {
    fn start(cluster: &Cluster) -> Self {
        let at: SocketAddr = (cluster.place.address(5), cluster.place.dns_port).into();
        let node = &cluster.nodes[0];
        let text = std::fs::read_to_string(node.config()).expect("the configuration");
        let config = cluster.place.path().join("dns.yml");
        std::fs::write(&config, text.replace(&format!("'{}'", node.dns), &format!("'{at}'"))).expect("the configuration");
        let log = std::fs::File::create(cluster.place.path().join("dns.log")).expect("the log");
        let mut command = place::as_database_user(&place::programs().join("tanist"));
        command.arg("dns").arg(&config).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self { at, child: command.spawn().expect("tanist dns starts") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The connection point in the agent and as a process of its own: every kind of question, before and after a failover.
#[test]
fn names_follow_the_primary() {
    let mut cluster = Cluster::start(Kind::Local, 2, &Options::default());
    let old = cluster.primary().expect("a primary");
    let new = 1 - old;
    let server = Server::start(&cluster);
    let servers = [cluster.nodes[new].dns, server.at];
    for at in servers {
        resolves(at, "primary", &[cluster.nodes[old].postgres.ip()]);
        resolves(at, "replica", &[cluster.nodes[new].postgres.ip()]);
        for node in &cluster.nodes {
            resolves(at, &node.name, &[node.postgres.ip()]);
        }
        questions(at);
    }
    cluster.nodes[old].kill();
    assert_eq!(cluster.next_primary(old, SLACK), new);
    for at in servers {
        resolves(at, "primary", &[cluster.nodes[new].postgres.ip()]);
    }
    cluster.nodes[old].start();
    cluster.settled(true);
    for at in servers {
        resolves(at, "primary", &[cluster.nodes[new].postgres.ip()]);
        resolves(at, "replica", &[cluster.nodes[old].postgres.ip()]);
    }
}

fn resolves(at: SocketAddr, label: &str, expected: &[IpAddr]) {
    let name = format!("{label}.e2e.{ZONE}");
    wait::until(&format!("{name} at {at} is {expected:?}"), SLACK, || match dns::addresses(at, &name)? {
        found if found == expected => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// One answer for each kind of question, over UDP and over TCP.
fn questions(at: SocketAddr) {
    for transport in ["+notcp", "+tcp"] {
        let ask = |name: &str, kind: &str| dns::dig(at, &[transport, name, kind]).expect("an answer");
        let primary = format!("primary.e2e.{ZONE}");
        for (name, kind, status, answers, authority) in [
            (ZONE, "SOA", "NOERROR", 1, None),
            (ZONE, "NS", "NOERROR", 1, None),
            (primary.as_str(), "A", "NOERROR", 1, None),
            (primary.as_str(), "AAAA", "NOERROR", 0, Some("SOA")),
            ("nothing.e2e.db.example", "A", "NXDOMAIN", 0, Some("SOA")),
            ("nothing.db.example", "A", "NXDOMAIN", 0, Some("SOA")),
        ] {
            let text = ask(name, kind);
            assert!(text.contains(&format!("status: {status},")), "{name} {kind}: {text}");
            assert!(text.contains(&format!("ANSWER: {answers},")), "{name} {kind}: {text}");
            let flags = text.lines().find(|line| line.starts_with(";; flags:")).expect("flags");
            assert!(flags.contains(" aa"), "an authoritative answer: {flags}");
            assert!(authority.is_none_or(|kind| has_authority(&text, kind)), "{name} {kind}: {text}");
        }
        for stranger in ["example.org", "db.example.org", "example"] {
            let text = ask(stranger, "A");
            assert!(text.contains("status: REFUSED,") && text.contains("ANSWER: 0,"), "{stranger}: {text}");
        }
    }
}

fn has_authority(text: &str, kind: &str) -> bool {
    text.lines().any(|line| line.starts_with(ZONE) && line.split_whitespace().nth(3) == Some(kind))
}

/// The help names every command that people use, and not the one that only the guard uses.
#[test]
fn the_program_explains_itself() {
    let help = tanist(&["--help"]).output();
    for command in [
        "run",
        "dcs",
        "dns",
        "demo",
        "list",
        "topology",
        "history",
        "show-config",
        "switchover",
        "explain",
        "check-config",
        "plugin",
        "version",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} is missing in\n{help}");
    }
    assert!(!help.contains("  agent"), "the agent is started by the guard alone");
    assert_eq!(tanist(&["no-such-command"]).code, 2);
}
