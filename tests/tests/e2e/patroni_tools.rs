//! Patroni's tools used with tanist as they are: patronictl from PyPI, and whoever reads Patroni's metrics.

use crate::password::{AUTHORIZED, with_password};
use std::time::Duration;
use tanist_tests::{cluster::Cluster, command::Answer, patronictl::patronictl, rest, wait};

const SLACK: Duration = Duration::from_secs(30);

/// patronictl and Prometheus, on one cluster.
#[test]
fn patronictl_and_metrics() {
    let cluster = with_password();
    let config = cluster.nodes[0].config();
    let ctl = |arguments: &[&str]| patronictl(&config, arguments);
    shows(&cluster, &ctl);
    metrics(&cluster);
    changes_configuration(&cluster, &ctl);
    refuses(&cluster, &ctl);
    moves(&cluster, &ctl);
}

type Ctl<'a> = &'a dyn Fn(&[&str]) -> Answer;

/// `list`, `topology`, `show-config`, `version`, `dsn`, and a history that is empty.
fn shows(cluster: &Cluster, ctl: Ctl<'_>) {
    let (primary, sync) = (cluster.primary().expect("a primary"), cluster.named_standby().expect("a standby"));
    let name = |index: usize| cluster.nodes[index].name.as_str();
    let members = wait::until("patronictl lists positions of both standbys", SLACK, || {
        let text = ctl(&["list", "e2e", "--format", "json"]).output();
        let members: Vec<serde_json::Value> = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        // Each tells its position every `loop_wait`, at its own time.
        let level = |member: &&serde_json::Value| {
            member["State"] == "streaming" && ["Receive Lag", "Replay Lag"].iter().all(|lag| member[lag] == 0)
        };
        if members.iter().filter(level).count() == 2 { Ok(members) } else { Err(text) }
    });
    for (index, node) in cluster.nodes.iter().enumerate() {
        let member = members.iter().find(|member| member["Member"] == node.name.as_str()).expect("the member");
        let role = if index == primary {
            "Leader"
        } else if index == sync {
            "Sync Standby"
        } else {
            "Replica"
        };
        assert_eq!((member["Role"].as_str(), member["TL"].as_u64()), (Some(role), Some(1)), "{member}");
        assert_eq!(member["Host"], node.postgres.to_string().as_str(), "{member}");
        assert_eq!(member["State"], if index == primary { "running" } else { "streaming" }, "{member}");
        if index != primary {
            let text = |field: &str| member[field].as_str().unwrap_or_default().to_owned();
            assert!(text("Receive LSN").starts_with("0/") && text("Replay LSN").starts_with("0/"), "{member}");
            assert_eq!((member["Receive Lag"].as_u64(), member["Replay Lag"].as_u64()), (Some(0), Some(0)), "{member}");
        }
    }
    let pretty = ctl(&["list", "e2e"]).output();
    assert!(pretty.starts_with("+ Cluster: e2e (") && pretty.contains("| Sync Standby "), "{pretty}");
    assert_eq!(pretty.lines().count(), 7, "{pretty}");
    let topology = ctl(&["topology", "e2e"]).output();
    let rows: Vec<&str> = topology.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows[0].starts_with(&format!("| {} ", name(primary))), "{topology}");
    assert!(rows[1..].len() == 2 && rows[1..].iter().all(|row| row.starts_with("| + n")), "{topology}");
    let shown = ctl(&["show-config", "e2e"]).output();
    assert!(shown.contains("ttl: 5\n") && shown.contains("synchronous_mode: true\n"), "{shown}");
    let version = ctl(&["version", "e2e"]).output();
    assert!(version.contains(&format!("{}: Patroni 4.1.4 PostgreSQL ", name(sync))), "{version}");
    let dsn = ctl(&["dsn", "e2e"]).output();
    let at = cluster.nodes[primary].postgres;
    assert_eq!(dsn.trim(), format!("host={} port={}", at.ip(), at.port()));
    assert_eq!(ctl(&["history", "e2e", "--format", "tsv"]).output().lines().count(), 1, "nothing has happened yet");
}

/// Patroni's series, with its labels, and the values that dashboards are made from.
fn metrics(cluster: &Cluster) {
    let (primary, sync) = (cluster.primary().expect("a primary"), cluster.named_standby().expect("a standby"));
    let page = |index: usize| {
        let (code, text) = rest::request("GET", cluster.nodes[index].rest, "/metrics", "").expect("an answer");
        assert_eq!(code, 200, "{text}");
        text
    };
    let value = |page: &str, index: usize, series: &str| -> f64 {
        let start = format!("{series}{{scope=\"e2e\",name=\"{}\"}} ", cluster.nodes[index].name);
        let line = page.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no {series} in\n{page}"));
        line.parse().unwrap_or_else(|error| panic!("{series}: {error}: {line}"))
    };
    let (leading, standing) = (page(primary), page(sync));
    for (series, of_primary, of_standby) in [
        ("patroni_version", 40104.0, 40104.0),
        ("patroni_postgres_running", 1.0, 1.0),
        ("patroni_primary", 1.0, 0.0),
        ("patroni_replica", 0.0, 1.0),
        ("patroni_sync_standby", 0.0, 1.0),
        ("patroni_postgres_streaming", 0.0, 1.0),
        ("patroni_postgres_timeline", 1.0, 1.0),
        ("patroni_postgres_state", 5.0, 5.0),
        ("patroni_cluster_unlocked", 0.0, 0.0),
        ("patroni_pending_restart", 0.0, 0.0),
        ("tanist_writable", 1.0, 0.0),
        ("tanist_fenced", 0.0, 0.0),
        ("tanist_store_answers", 1.0, 1.0),
    ] {
        assert_eq!(value(&leading, primary, series), of_primary, "{series} at the primary");
        assert_eq!(value(&standing, sync, series), of_standby, "{series} at the standby");
    }
    assert!(value(&leading, primary, "patroni_xlog_location") > 0.0, "{leading}");
    assert!(value(&standing, sync, "patroni_xlog_replayed_location") > 0.0, "{standing}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    for series in ["patroni_dcs_last_seen", "patroni_postmaster_start_time"] {
        assert!((now - value(&leading, primary, series)).abs() < 300.0, "{series}\n{leading}");
    }
    assert_eq!(leading.lines().filter(|line| line.starts_with("# TYPE patroni_")).count(), 23, "{leading}");
    assert_eq!(value(&leading, primary, "tanist_epoch"), cluster.epoch() as f64, "{leading}");
}

/// `edit-config` reaches every node; over REST a change that nobody could obey is refused; nobody is told of a pause that is none.
fn changes_configuration(cluster: &Cluster, ctl: Ctl<'_>) {
    let said = ctl(&["edit-config", "e2e", "--force", "--set", "maximum_lag_on_failover=2097152"]).output();
    assert!(said.contains("Configuration changed"), "{said}");
    for node in &cluster.nodes {
        wait::until(&format!("{} shows the change", node.name), SLACK, || match rest::json(node.rest, "/config")? {
            config if config["maximum_lag_on_failover"] == 2_097_152 => Ok(()),
            other => Err(other.to_string()),
        });
    }
    let at = cluster.nodes[0].rest;
    let ask = |method: &str, body: &str| rest::request_with(method, at, "/config", AUTHORIZED, body).expect("an answer");
    assert_eq!(rest::request("PATCH", at, "/config", r#"{"ttl": 6}"#).expect("an answer").0, 401);
    let (code, text) = ask("PATCH", r#"{"maximum_lag_on_failover": null, "postgresql": {"parameters": {"work_mem": "8MB"}}}"#);
    assert_eq!(code, 200, "{text}");
    let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((config["ttl"].as_u64(), config["maximum_lag_on_failover"].is_null()), (Some(5), true), "{config}");
    assert_eq!(config["postgresql"]["parameters"]["work_mem"], "8MB", "{config}");
    assert_eq!(config["postgresql"]["parameters"]["max_connections"], 60, "what was there is kept: {config}");
    for (body, words) in [(r#"{"ttl": 1}"#, "ttl must be"), ("[]", "JSON object"), ("{", "not JSON"), ("{}", "not empty")] {
        let (code, text) = ask("PATCH", body);
        assert_eq!(code, 400, "{body}: {text}");
        assert!(text.contains(words), "{body}: {text}");
    }
    assert_eq!(ask("PUT", r#"{"ttl": "soon"}"#).0, 400);
    let (code, text) = ask("PUT", &config.to_string());
    assert_eq!((code, serde_json::from_str::<serde_json::Value>(&text).expect("JSON")), (200, config));
}

/// What patronictl is refused, it tells in tanist's words, and nothing has happened.
fn refuses(cluster: &Cluster, ctl: Ctl<'_>) {
    let (primary, sync) = (cluster.primary().expect("a primary"), cluster.named_standby().expect("a standby"));
    let (leader, other) = (cluster.nodes[primary].name.as_str(), cluster.nodes[3 - primary - sync].name.as_str());
    let epoch = cluster.epoch();
    let stranger = ctl(&["switchover", "e2e", "--leader", leader, "--candidate", "n9", "--force"]);
    assert_eq!(stranger.code, 1, "{stranger:?}");
    assert!(stranger.err.contains("Member n9 does not exist in cluster e2e"), "{stranger:?}");
    for action in ["switchover", "failover"] {
        let said = ctl(&[action, "e2e", "--candidate", other, "--force"]).output();
        assert!(said.contains("412, candidate name does not match with sync_standby"), "{said}");
    }
    let scheduled =
        ["switchover", "e2e", "--candidate", cluster.nodes[sync].name.as_str(), "--scheduled", "2099-01-01T00:00", "--force"];
    let said = ctl(&scheduled).output();
    assert!(said.contains("scheduled"), "{said}");
    let paused = ctl(&["pause", "e2e"]);
    assert!(format!("{}{}", paused.out, paused.err).contains("pause"), "{paused:?}");
    let reloaded = ctl(&["reload", "e2e", "--force"]).output();
    assert_eq!(reloaded.matches("Reload request received").count(), 3, "{reloaded}");
    let flushed = ctl(&["flush", "e2e", "switchover"]).output();
    assert!(flushed.contains("No pending scheduled switchover"), "{flushed}");
    // A file without the password.
    let open = cluster.place.path().join("patronictl.yml");
    let text = std::fs::read_to_string(cluster.nodes[0].config()).expect("the configuration");
    std::fs::write(&open, text.replace("username: admin, password: s3cret", "username: admin, password: wrong")).expect("a file");
    let said = patronictl(&open, &["switchover", "e2e", "--candidate", &cluster.nodes[sync].name, "--force"]).output();
    assert!(said.contains("401, not authenticated"), "{said}");
    assert_eq!((cluster.primary(), cluster.epoch()), (Ok(primary), epoch), "nothing has happened");
}

/// `switchover` and `failover` move the leadership, and `history` tells of both.
fn moves(cluster: &Cluster, ctl: Ctl<'_>) {
    let mut leaders = Vec::new();
    for (action, words) in [("switchover", "Successfully switched over to"), ("failover", "Successfully failed over to")] {
        let candidate = wait::until("a standby is named", SLACK, || cluster.named_standby());
        let name = cluster.nodes[candidate].name.clone();
        let said = ctl(&[action, "e2e", "--candidate", &name, "--force"]).output();
        assert!(said.contains(&format!("{words} \"{name}\"")), "{said}");
        assert!(said.contains(&format!("| {name} ")) && said.contains("| Leader "), "the table after it: {said}");
        assert_eq!(cluster.settled(true), candidate, "it leads");
        leaders.push(name);
    }
    let tsv = ctl(&["history", "e2e", "--format", "tsv"]).output();
    let rows: Vec<Vec<&str>> = tsv.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 2, "{tsv}");
    for (row, (timeline, leader)) in rows.iter().zip([("1", &leaders[0]), ("2", &leaders[1])]) {
        assert_eq!((row[0], row[2], row[4]), (timeline, "no recovery target specified", leader.as_str()), "{tsv}");
        assert!(row[1].parse::<u64>().is_ok_and(|lsn| lsn > 0) && row[3].contains('T'), "{tsv}");
    }
    let pretty = ctl(&["history", "e2e"]).output();
    assert!(pretty.contains("| New Leader |"), "{pretty}");
    own_commands(cluster, &leaders[1], &tsv);
}

/// tanist's own commands say the same as patronictl.
fn own_commands(cluster: &Cluster, leader: &str, tsv: &str) {
    let config = cluster.nodes[0].config().display().to_string();
    let tanist =
        |command: &str, format: &str| tanist_tests::command::tanist(&[command, "--config", &config, "--format", format]).output();
    assert_eq!(tanist("history", "tsv"), tsv);
    let history: serde_json::Value = serde_json::from_str(&tanist("history", "json")).expect("JSON");
    assert_eq!((history[1]["TL"].as_u64(), history[1]["New Leader"].as_str()), (Some(2), Some(leader)), "{history}");
    assert!(tanist("history", "pretty").contains("| TL | LSN "), "a table");
    let topology = tanist("topology", "tsv");
    let names: Vec<&str> = topology.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names[0], leader, "{topology}");
    assert!(names[1..].len() == 2 && names[1..].iter().all(|name| name.starts_with("+ n")), "{topology}");
    assert!(tanist("show-config", "yaml").contains("ttl: 5\n"), "YAML");
    let shown: serde_json::Value = serde_json::from_str(&tanist("show-config", "json")).expect("JSON");
    assert_eq!(shown["ttl"], 5);
}
