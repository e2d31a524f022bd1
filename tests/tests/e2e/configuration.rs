//! The configuration changed under a running cluster: what PostgreSQL reads at once, what waits for a restart, what it would refuse; the
//! lease's ttl, the mode of replication; restarts that the operator asks for. A client writes all the time.

use serde_json::{Value, json};
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, time::Duration};
use tanist_tests::{
    cluster::Cluster,
    command::tanist,
    node::{Node, Options},
    patronictl::patronictl,
    place, rest, sql,
    store::Kind,
    wait,
};

const SLACK: Duration = Duration::from_secs(30);

/// `PATCH /config` at any node.
fn patch(cluster: &Cluster, change: &Value) {
    let (code, text) = rest::request("PATCH", cluster.nodes[0].rest, "/config", &change.to_string()).expect("an answer");
    assert_eq!(code, 200, "{text}");
}

/// Waits until every node shows this value.
fn shows(cluster: &Cluster, parameter: &str, value: &str) {
    wait::until(&format!("{parameter} is {value} everywhere"), SLACK, || {
        for node in &cluster.nodes {
            let shown = sql::value(node.postgres, &format!("SHOW {parameter}"))?;
            if shown != value {
                return Err(format!("{shown} on {}", node.name));
            }
        }
        Ok(())
    });
}

/// What waits for a restart on a node.
fn waits(node: &Node) -> Result<BTreeMap<String, (String, String)>, String> {
    let view = node.view()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reasons = view["pending_restart_reason"].as_object().cloned().unwrap_or_default();
    if view["pending_restart"].as_bool().unwrap_or(false) == reasons.is_empty() {
        return Err(format!("a flag without a reason, or the other way round: {view}"));
    }
    Ok(reasons.iter().map(|(name, both)| (name.clone(), (text(&both["old_value"]), text(&both["new_value"])))).collect())
}

fn waits_everywhere(cluster: &Cluster, expected: &[(&str, &str, &str)]) {
    let expected: BTreeMap<String, (String, String)> =
        expected.iter().map(|(name, old, new)| ((*name).to_owned(), ((*old).to_owned(), (*new).to_owned()))).collect();
    wait::until(&format!("{expected:?} waits everywhere"), SLACK, || {
        for node in &cluster.nodes {
            let found = waits(node)?;
            if found != expected {
                return Err(format!("{}: {found:?}", node.name));
            }
        }
        listed(cluster, &expected)
    });
}

/// The same in the store, where each node's key is a moment behind what the node itself says.
fn listed(cluster: &Cluster, expected: &BTreeMap<String, (String, String)>) -> Result<(), String> {
    let list = tanist(&["list", "--config", &cluster.nodes[0].config().display().to_string()]).output();
    let changes: Vec<String> = expected.iter().map(|(name, (old, new))| format!("{name}: {old}->{new}")).collect();
    let everywhere = changes.iter().all(|change| list.matches(change.as_str()).count() == cluster.nodes.len());
    let nothing = !changes.is_empty() || !list.contains("->");
    if everywhere && nothing { Ok(()) } else { Err(list) }
}

fn postmasters(cluster: &Cluster) -> Vec<Option<i32>> {
    cluster.nodes.iter().map(|node| node.pids().postmaster).collect()
}

/// A script that notes its words.
fn script(cluster: &Cluster) -> (std::path::PathBuf, std::path::PathBuf) {
    let (file, notes) = (cluster.place.path().join("callback"), cluster.place.path().join("callback-notes"));
    std::fs::write(&notes, "").expect("the notes");
    std::fs::set_permissions(&notes, std::fs::Permissions::from_mode(0o666)).expect("permissions");
    std::fs::write(&file, format!("#!/bin/sh\necho \"$*\" >> {}\n", notes.display())).expect("the script");
    place::open_to_all(&file);
    (file, notes)
}

/// Raised on the standbys first, lowered on the primary first; nothing restarts by itself; the same leader, epoch and timeline.
#[test]
fn parameters_change_while_clients_write() {
    let mut cluster = Cluster::prepare(Kind::Etcd, 3, &Options::default());
    let (callback, notes) = script(&cluster);
    for node in &mut cluster.nodes {
        node.edit(|text| text.replace("dns:\n", &format!("  callbacks: {{on_reload: {}}}\ndns:\n", callback.display())));
        node.start();
    }
    cluster.settled(true);
    let writer = cluster.writer();
    let (primary, epoch, timeline) = (cluster.primary().expect("a primary"), cluster.epoch(), cluster.timeline(0));
    let config = cluster.nodes[0].config();
    let ctl = |arguments: &[&str]| patronictl(&config, arguments).output();
    let processes = postmasters(&cluster);

    ctl(&["edit-config", "e2e", "--force", "-p", "work_mem=9MB", "-p", "max_connections=70", "-p", "shared_buffers=24MB"]);
    shows(&cluster, "work_mem", "9MB");
    waits_everywhere(&cluster, &[("max_connections", "60", "70"), ("shared_buffers", "16MB", "24MB")]);
    shows(&cluster, "max_connections", "60");
    assert_eq!(postmasters(&cluster), processes, "nothing restarts by itself");
    wait::until("every node's script was told", SLACK, || {
        let told = std::fs::read_to_string(&notes).unwrap_or_default();
        let count = |words: &str| told.lines().filter(|line| *line == words).count();
        if count("on_reload primary e2e") == 1 && count("on_reload replica e2e") == 2 { Ok(()) } else { Err(told) }
    });
    let list = tanist(&["list", "--config", &config.display().to_string()]).output();
    assert!(list.contains("max_connections: 60->70, shared_buffers: 16MB->24MB"), "{list}");
    wait::until("patronictl shows it", SLACK, || match ctl(&["list", "e2e"]) {
        list if list.contains("max_connections: 60->70") => Ok(()),
        list => Err(list),
    });

    let standby = &cluster.nodes[(primary + 1) % 3].name;
    let answer = ctl(&["restart", "e2e", standby, "--force"]);
    assert!(answer.contains(&format!("Success: restart on member {standby}")), "{answer}");
    let at = cluster.nodes[(primary + 1) % 3].rest;
    let (code, answer) = rest::request("POST", at, "/restart", r#"{"restart_pending": true}"#).expect("an answer");
    assert_eq!((code, answer.as_str()), (503, "restart conditions are not satisfied"));
    let answer = tanist(&["restart", "--config", &config.display().to_string(), "--pending"]).output();
    assert!(!answer.contains(standby.as_str()) && answer.lines().count() == 2, "{answer}");
    assert!(answer.lines().last().is_some_and(|last| last.starts_with(&cluster.nodes[primary].name)), "standbys first: {answer}");
    shows(&cluster, "max_connections", "70");
    waits_everywhere(&cluster, &[]);

    patch(&cluster, &json!({"postgresql": {"parameters": {"max_connections": 50, "shared_buffers": null, "work_mem": null}}}));
    shows(&cluster, "work_mem", "4MB");
    waits_everywhere(&cluster, &[("max_connections", "70", "50"), ("shared_buffers", "24MB", "128MB")]);
    let answer = tanist(&["restart", "--config", &config.display().to_string(), "--pending"]).output();
    assert!(
        answer.lines().next().is_some_and(|first| first.starts_with(&cluster.nodes[primary].name)),
        "primary first: {answer}"
    );
    wait::until("nothing waits any more", SLACK, || {
        // A standby that came up before the primary's change reached it has as much as before, and says so.
        tanist(&["restart", "--config", &config.display().to_string(), "--pending"]).output();
        for node in &cluster.nodes {
            let found = waits(node)?;
            if !found.is_empty() {
                return Err(format!("{}: {found:?}", node.name));
            }
        }
        Ok(())
    });
    shows(&cluster, "max_connections", "50");
    cluster.settled(true);
    assert_eq!((cluster.primary(), cluster.epoch(), cluster.timeline(0)), (Ok(primary), epoch, timeline), "no failover");
    cluster.verdict(writer, true);
}

/// Values that PostgreSQL would refuse are named in log, REST and `list`; what was good stays; a server restarted meanwhile comes up, and
/// so does a failover.
#[test]
fn refused_values_are_named_and_the_last_good_ones_stay() {
    let mut cluster = Cluster::start(Kind::Local, 3, &Options::default());
    let writer = cluster.writer();
    let config = cluster.nodes[0].config().display().to_string();
    patch(&cluster, &json!({"postgresql": {"parameters": {"work_mem": "9MB"}}}));
    shows(&cluster, "work_mem", "9MB");
    let parameters = json!({
        "work_mem": "lots", "no_such_thing": 1, "wal_level": "most", "max_connections": "many", "datestyle": "when",
        "shared_preload_libraries": "no_such_library", "unix_socket_directories": "/nowhere", "log_destination": "syslog,nowhere",
        "maintenance_work_mem": "17MB", "some.thing": "x",
    });
    patch(&cluster, &json!({"postgresql": {"parameters": parameters}}));
    let refused = ["work_mem: lots", "no_such_thing: 1", "wal_level: most", "max_connections: many", "datestyle: when"];
    let refused = refused.iter().chain(&["shared_preload_libraries: no_such_library", "log_destination: syslog,nowhere"]);
    let named = |text: &str| refused.clone().find(|words| !text.contains(&format!("postgresql.parameters.{words} is refused")));
    for node in &cluster.nodes {
        wait::until(&format!("{} names what it refuses", node.name), SLACK, || {
            let view = node.view()?;
            match named(&view["tanist"]["complaints"].to_string()) {
                None => Ok(()),
                Some(words) => Err(format!("{words} is missing in {view}")),
            }
        });
        assert_eq!(named(&node.told()), None, "the log");
    }
    let list = tanist(&["list", "--config", &config]).output();
    assert_eq!(named(&list), None, "{list}");
    println!("{list}");
    shows(&cluster, "maintenance_work_mem", "17MB");
    shows(&cluster, "work_mem", "9MB");

    // A start with them, and one as primary.
    let old = cluster.primary().expect("a primary");
    cluster.nodes[old].kill();
    let new = cluster.next_primary(old, SLACK);
    cluster.nodes[old].start();
    assert_eq!(cluster.settled(true), new);
    shows(&cluster, "work_mem", "9MB");
    shows(&cluster, "maintenance_work_mem", "17MB");
    assert_eq!(named(&cluster.nodes[old].view().expect("a view")["tanist"]["complaints"].to_string()), None, "after a start");

    // What no node could understand at all: written behind the REST API's back.
    let taken: Vec<(String, Value)> =
        parameters.as_object().expect("a map").iter().map(|(name, _)| (name.clone(), Value::Null)).collect();
    let taken: serde_json::Map<String, Value> = taken.into_iter().collect();
    patch(&cluster, &json!({"postgresql": {"parameters": taken}}));
    wait::until("nothing is refused", SLACK, || {
        let views: Vec<Value> = cluster.nodes.iter().map(Node::view).collect::<Result<_, _>>()?;
        match views.iter().find(|view| !view["tanist"]["complaints"].is_null()) {
            None => Ok(()),
            Some(view) => Err(view.to_string()),
        }
    });
    cluster.verdict(writer, true);
}

/// Rules and maps of this node's own file, read again when somebody asks; with a line that PostgreSQL cannot read the old ones stay.
#[test]
fn a_reload_reads_the_file_again() {
    let cluster = Cluster::start(Kind::Local, 2, &Options::default());
    let writer = cluster.writer();
    let node = &cluster.nodes[1 - cluster.primary().expect("a primary")];
    let config = node.config().display().to_string();
    let rules = |words: &str| {
        sql::value(node.postgres, &format!("SELECT count(*) FROM pg_hba_file_rules WHERE '{words}' = ANY (user_name)"))
    };
    let reload = || tanist(&["reload", "--config", &config, &node.name]).output();
    node.edit(|text| {
        text.replace("  pg_hba:\n", "  pg_ident:\n    - people joe visitor\n  pg_hba:\n    - host all visitor all reject\n")
            .replace("  parameters:\n    unix", "  parameters:\n    work_mem: 7MB\n    unix")
            + "tags: {nofailover: true}\n"
    });
    assert!(reload().contains("reload scheduled"));
    wait::until("the rule is there", SLACK, || if rules("visitor")? == "1" { Ok(()) } else { Err("not yet".into()) });
    wait::until("the parameter is in force", SLACK, || match sql::value(node.postgres, "SHOW work_mem")?.as_str() {
        "7MB" => Ok(()),
        other => Err(other.to_owned()),
    });
    let ident = std::fs::read_to_string(node.data().join("pg_ident.conf")).expect("pg_ident.conf");
    assert!(ident.lines().any(|line| line == "people joe visitor"), "{ident}");
    wait::until("the tag is shown to all", SLACK, || {
        let view = rest::json(cluster.nodes[0].rest, "/cluster")?;
        if view.to_string().contains("\"nofailover\":true") { Ok(()) } else { Err(view.to_string()) }
    });

    for (bad, words) in [
        ("host all stranger nonsense", "host all stranger nonsense is refused: end-of-line before authentication method"),
        // Only the server knows of these.
        ("host all stranger all ldap", "the last good list stays in force"),
        ("host all stranger all radius", "the last good list stays in force"),
    ] {
        node.edit(|text| text.replace("  pg_hba:\n", &format!("  pg_hba:\n    - {bad}\n")));
        reload();
        wait::until(&format!("`{bad}` is named"), SLACK, || {
            let errors = node.view()?["tanist"]["complaints"].to_string();
            if errors.contains(words) { Ok(()) } else { Err(errors) }
        });
        assert_eq!((rules("visitor"), rules("stranger")), (Ok("1".into()), Ok("0".into())));
        tanist(&["restart", "--config", &config, &node.name]).output();
        assert_eq!((rules("visitor"), rules("stranger")), (Ok("1".into()), Ok("0".into())), "and after a start");
        node.edit(|text| text.replace(&format!("    - {bad}\n"), ""));
        reload();
        wait::until("nothing is wrong", SLACK, || match node.view()?["tanist"]["complaints"].clone() {
            Value::Null => Ok(()),
            errors => Err(errors.to_string()),
        });
    }
    // Who may not lead is no synchronous standby.
    node.edit(|text| text.replace("tags: {nofailover: true}\n", ""));
    reload();
    cluster.verdict(writer, true);
}

/// ttl raised and lowered under a leader; right after it was lowered the leader is cut off. Nobody takes over before what was promised
/// to it is over, and nobody is disturbed by the change itself.
#[test]
fn ttl_changes_under_a_leader_that_is_then_cut_off() {
    let cluster = Cluster::start(Kind::Etcd, 3, &Options::default());
    let writer = cluster.writer();
    let (old, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let left = |index: usize| -> Result<u64, String> {
        let view = cluster.nodes[index].view()?;
        view["tanist"]["lease_left_ms"].as_u64().ok_or_else(|| view.to_string())
    };
    for ttl in [60, 20] {
        patch(&cluster, &json!({"ttl": ttl}));
        wait::until(&format!("the lease is one of {ttl} s"), Duration::from_secs(60), || match left(old)? {
            left if left > ttl * 790 && left <= ttl * 1000 => Ok(()),
            other => Err(other.to_string()),
        });
        assert_eq!(cluster.epoch(), epoch, "nobody was disturbed");
    }
    patch(&cluster, &json!({"ttl": 5}));
    let long = wait::until("renewals have landed since", SLACK, || {
        // Each promises less than the one before, until the new ttl is all there is.
        let record = cluster.store.get("/service/e2e/tanist/lease");
        let record: Value = serde_json::from_slice(&record).map_err(|error| error.to_string())?;
        match record["ttl_ms"].as_u64() {
            Some(promised) if (8_000..18_500).contains(&promised) => left(old),
            _ => Err(record.to_string()),
        }
    });
    assert!(long > 6_000, "{long}");
    cluster.nodes[old].relay().cut();
    let cut = Cluster::now();
    cluster.next_primary(old, Duration::from_secs(20) + SLACK);
    let waited = (Cluster::now() - cut) / 1_000_000;
    assert!(waited > long / 2, "{waited} ms after the cut, with {long} ms left: nobody waited for what was promised");
    cluster.nodes[old].relay().mend();
    cluster.verdict(writer, true);
}

/// Off, on, strict, quorum and back, by PATCH, while a client writes: `/sync` and names follow, and nothing fails over.
#[test]
fn the_mode_of_replication_changes_live() {
    let cluster = Cluster::start(Kind::Local, 3, &Options { synchronous: false, ..Options::default() });
    let writer = cluster.writer();
    let (primary, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let names = |expected: &str| {
        wait::until(&format!("commits wait for `{expected}`"), SLACK, || {
            match sql::value(cluster.nodes[primary].postgres, "SHOW synchronous_standby_names")? {
                names if expected.is_empty() == names.is_empty() && names.contains(expected) => Ok(()),
                names => Err(names),
            }
        });
        writer.writes_again(SLACK);
    };
    names("");
    patch(&cluster, &json!({"synchronous_mode": true}));
    names("FIRST 1 (");
    patch(&cluster, &json!({"synchronous_node_count": 2}));
    names("FIRST 2 (");
    patch(&cluster, &json!({"synchronous_mode": "quorum", "synchronous_node_count": 1}));
    names("ANY 1 (");
    patch(&cluster, &json!({"synchronous_mode": true, "synchronous_mode_strict": true}));
    names("FIRST 1 (");
    // Together with other parameters, whose way to the server must not touch the names.
    for round in 0..5 {
        patch(
            &cluster,
            &json!({"postgresql": {"parameters": {"work_mem": format!("{}MB", 10 + round)}}, "synchronous_node_count": 1 + round % 2}),
        );
        writer.writes_again(SLACK);
    }
    shows(&cluster, "work_mem", "14MB");
    names("FIRST 1 (");
    patch(&cluster, &json!({"synchronous_mode": null, "synchronous_mode_strict": null}));
    names("");
    assert_eq!((cluster.primary(), cluster.epoch()), (Ok(primary), epoch));
    cluster.verdict(writer, false);
}
