//! Coming from Patroni: its configuration file, its data directories, its keys in the store.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};
use tanist_tests::{
    cluster::Cluster,
    command::tanist,
    node::{Node, Options},
    patronictl::{patroni, patronictl},
    place, process, rest, sql,
    store::Kind,
    wait,
};

const SLACK: Duration = Duration::from_secs(90);

/// A patroni.yml as a tutorial for Patroni with Consul has it, its addresses changed and its `consul` section made one of etcd3.
#[test]
fn a_patroni_yml_of_the_field_starts() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/agent/tests/config/field-report.yml");
    let template = std::fs::read_to_string(template).expect("the file");
    let mut cluster = Cluster::prepare(Kind::Etcd, 2, &Options::default());
    for node in &mut cluster.nodes {
        let (directory, bin) = (node.data().with_file_name(""), place::postgres_bin());
        let (name, rest, postgres, data) = (node.name.clone(), node.rest, node.postgres, node.data());
        node.edit(|ours| {
            let etcd = ours.split("hosts: ['").nth(1).and_then(|rest| rest.split('\'').next()).expect("etcd's address");
            let mut text = template.clone();
            for (theirs, here) in [
                ("host-02", name.as_str()),
                ("localhost:2379", etcd),
                ("0.0.0.0:8008", &rest.to_string()),
                ("192.0.2.46:8008", &rest.to_string()),
                ("0.0.0.0:5432", &postgres.to_string()),
                ("192.0.2.46:5432", &postgres.to_string()),
                ("192.0.2.0/24", "127.0.0.0/8"),
                ("/var/lib/postgresql/15/.pgpass", &directory.join(".pgpass").display().to_string()),
                ("/var/lib/postgresql/15/main/", &format!("{}/", data.display())),
                ("/usr/lib/postgresql/15/bin/", &format!("{}/", bin.display())),
                ("password: rules", "password: secret"),
            ] {
                assert!(text.contains(theirs), "{theirs} is missing in\n{text}");
                text = text.replace(theirs, here);
            }
            text
        });
        node.start();
    }
    let primary = cluster.settled(false);
    obeyed(&cluster, primary);
    for node in &cluster.nodes {
        let told = node.told();
        for key in ["etcd3.register_service", "etcd3.token", "initdb", "postgresql.pg_rewind"] {
            assert!(told.lines().any(|line| line.contains(key)), "{key} is not reported at the start of {}:\n{told}", node.name);
        }
    }
}

/// What the keys of that file ask for is in force.
fn obeyed(cluster: &Cluster, primary: usize) {
    let at: SocketAddr = cluster.nodes[primary].postgres;
    for (setting, wanted) in [
        ("archive_mode", "on"),
        ("wal_level", "replica"),
        ("max_wal_senders", "10"),
        ("wal_keep_size", "128MB"),
        ("archive_timeout", "30min"),
        ("max_replication_slots", "5"),
        ("hot_standby", "on"),
        ("wal_log_hints", "on"),
    ] {
        assert_eq!(sql::value(at, &format!("SHOW {setting}")).expect("the setting"), wanted, "{setting}");
    }
    let streamer = "SELECT rolreplication FROM pg_roles WHERE rolname = 'streamer'";
    assert_eq!(sql::value(at, streamer).expect("the role"), "t", "the replication user");
    let standby = &cluster.nodes[1 - primary];
    let user = "SELECT usename FROM pg_stat_replication";
    assert_eq!(sql::value(at, user).expect("a row"), "streamer", "whom the standby streams as");
    assert!(standby.data().with_file_name(".pgpass").is_file(), "the password file");
    let config = rest::json(standby.rest, "/config").expect("the configuration");
    assert_eq!((config["ttl"].as_u64(), config["maximum_lag_on_failover"].as_u64()), (Some(30), Some(1_048_576)), "{config}");
    let (code, text) = rest::request("POST", standby.rest, "/switchover", "{}").expect("an answer");
    assert_eq!(code, 401, "the password of restapi.auth is asked for: {text}");
    // `keeper:keeps`
    let keeper = "Authorization: Basic a2VlcGVyOmtlZXBz\r\n";
    let (code, text) = rest::request_with("POST", standby.rest, "/switchover", keeper, "{}").expect("an answer");
    assert_eq!(code, 400, "{text}");
}

/// A cluster that Patroni has made, with its store, its data directories and its files: tanist takes it over without copying anything,
/// and Patroni can have it back.
#[test]
fn a_cluster_changes_hands() {
    let mut cluster = Cluster::prepare(Kind::Etcd, 2, &Options { synchronous: false, ttl: 20, ..Options::default() });
    let patronis = cluster.nodes.iter().map(Patroni::start).collect();
    let first = led_by_patroni(&cluster, 1);
    // Patroni never deletes `/failover`: what it leaves there after this is `{}`.
    let candidate = cluster.nodes[1 - first].name.clone();
    let said = patronictl(&cluster.nodes[0].config(), &["switchover", "e2e", "--candidate", &candidate, "--force"]).output();
    assert!(said.contains("Successfully switched over"), "{said}");
    let old = led_by_patroni(&cluster, 1);
    let at = cluster.nodes[old].postgres;
    sql::query(at, "CREATE TABLE kept AS SELECT 1 AS n").expect("a table");
    let identity = sql::value(at, "SELECT system_identifier FROM pg_control_system()").expect("an identity");
    for node in &cluster.nodes {
        std::fs::write(node.data().join("not_copied"), &node.name).expect("a mark in the data directory");
    }
    stop(&cluster, patronis, old);

    // Who led last has the end of the history: first it leads again, then the other follows.
    cluster.nodes[old].start();
    let primary = wait::until("the old leader leads", SLACK, || cluster.primary());
    cluster.nodes[1 - old].start();
    assert_eq!((primary, cluster.settled(false)), (old, old));
    let at = cluster.nodes[primary].postgres;
    assert_eq!(sql::value(at, "SELECT n FROM kept").expect("the row"), "1");
    assert_eq!(sql::value(at, "SELECT system_identifier FROM pg_control_system()").expect("an identity"), identity);
    for node in &cluster.nodes {
        let mark = std::fs::read_to_string(node.data().join("not_copied")).expect("the data directory is the same one");
        assert_eq!(mark, node.name);
    }
    let config = rest::json(cluster.nodes[primary].rest, "/config").expect("the configuration");
    assert_eq!(config["ttl"], 20, "the rules that Patroni has written: {config}");
    sql::query(at, "INSERT INTO kept VALUES (2)").expect("a write");
    wait::until("the row has reached the standby", SLACK, || rows(&cluster, 1 - primary, "2"));
    let config = cluster.nodes[0].config().display().to_string();
    let answer = tanist(&["switchover", "--config", &config]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let primary = cluster.next_primary(primary, SLACK);
    cluster.settled(false);

    for index in [1 - primary, primary] {
        assert_eq!(cluster.nodes[index].stop(Duration::from_secs(30)), Some(0), "an ordered end");
    }
    let first = Patroni::start(&cluster.nodes[primary]);
    led_by_patroni(&cluster, 0);
    let second = Patroni::start(&cluster.nodes[1 - primary]);
    let back = led_by_patroni(&cluster, 1);
    rows(&cluster, back, "2").expect("what was written under tanist");
    sql::query(cluster.nodes[back].postgres, "INSERT INTO kept VALUES (3)").expect("a write");
    wait::until("the row has reached the standby", SLACK, || rows(&cluster, 1 - back, "3"));
    let patronis = if primary == 0 { vec![first, second] } else { vec![second, first] };
    stop(&cluster, patronis, back);
}

fn rows(cluster: &Cluster, index: usize, wanted: &str) -> Result<(), String> {
    match sql::value(cluster.nodes[index].postgres, "SELECT count(*) FROM kept")? {
        count if count == wanted => Ok(()),
        other => Err(other),
    }
}

/// Waits until patronictl shows a leader that runs and so many replicas that stream; gives the leader.
fn led_by_patroni(cluster: &Cluster, replicas: usize) -> usize {
    wait::until("Patroni's cluster is whole", SLACK, || {
        let said = patronictl(&cluster.nodes[0].config(), &["list", "e2e", "--format", "json"]);
        let members: Vec<serde_json::Value> = serde_json::from_str(&said.out).map_err(|error| format!("{error}: {said:?}"))?;
        let streaming = members.iter().filter(|member| member["Role"] == "Replica" && member["State"] == "streaming").count();
        let leader = members.iter().find(|member| member["Role"] == "Leader" && member["State"] == "running");
        let Some(leader) = leader.filter(|_| streaming == replicas) else { return Err(said.out) };
        let index = cluster.nodes.iter().position(|node| leader["Member"] == node.name.as_str());
        index.ok_or_else(|| format!("unknown {leader}"))
    })
}

/// Ends both Patronis in order, the leader last, and with them their PostgreSQL.
fn stop(cluster: &Cluster, patronis: Vec<Patroni>, leader: usize) {
    let mut patronis: Vec<(usize, Patroni)> = patronis.into_iter().enumerate().collect();
    patronis.sort_by_key(|(index, _)| *index == leader);
    for (index, mut patroni) in patronis {
        process::signal(patroni.0.id().cast_signed(), rustix::process::Signal::TERM);
        wait::until(&format!("Patroni of {} ends", cluster.nodes[index].name), SLACK, || match patroni.0.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert!(cluster.nodes[index].postgres_processes().is_empty(), "PostgreSQL is down");
    }
}

/// A running Patroni.
struct Patroni(Child);

impl Patroni {
    /// Starts it with the node's own file.
    fn start(node: &Node) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(node.log()).expect("the node's log");
        let mut command = patroni();
        // Its password file is in the home directory.
        command.arg(node.config()).env("HOME", node.data().with_file_name("")).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        Self(command.spawn().expect("Patroni starts"))
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        process::signal(self.0.id().cast_signed(), rustix::process::Signal::KILL);
        let _ended = self.0.wait();
    }
}
