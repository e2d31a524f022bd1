//! Plugins and callback scripts on a real cluster: a record in a real BIND follows the primary, exactly once per change; neither a plugin
//! host that hangs or dies nor a hostile guest makes the database wait.

use std::{
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tanist_tests::{
    cluster::Cluster,
    command::tanist,
    guest,
    hook::Hook,
    named::{Named, RECORD},
    node::{Node, Options},
    place, process,
    record::RecordWatch,
    rest,
    store::Kind,
    wait,
    writer::Writer,
};

const TTL: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(15);
/// A failover after a killed postmaster does not wait for the lease; this is far above what it takes on a busy machine.
const GAP: Duration = Duration::from_secs(5);

/// The same test on the embedded store and on etcd.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod local { $(#[test] fn $name() { super::$name(super::Kind::Local) })+ }
        mod etcd { $(#[test] fn $name() { super::$name(super::Kind::Etcd) })+ }
    };
}

on_both_stores!(record_and_scripts_follow_the_primary);

fn address(cluster: &Cluster, index: usize) -> IpAddr {
    cluster.nodes[index].postgres.ip()
}

fn record_names(named: &Named, cluster: &Cluster, index: usize) {
    wait::until(&format!("{RECORD} names {}", cluster.nodes[index].name), SLACK, || match named.record()? {
        found if found == [address(cluster, index)] => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// A callback script that notes which agent ran it with which words.
struct Script {
    file: PathBuf,
    notes: PathBuf,
    _directory: tempfile::TempDir,
}

impl Script {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tanist-e2e-script-").tempdir_in("/tmp").expect("a directory");
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).expect("permissions");
        let (file, notes) = (directory.path().join("callback"), directory.path().join("notes"));
        std::fs::write(&file, format!("#!/bin/sh\necho \"$PPID $*\" >> {}\n", notes.display())).expect("the script");
        place::open_to_all(&file);
        Self { file, notes, _directory: directory }
    }

    /// What the agent of this node called, in order.
    fn calls(&self, node: &Node) -> Vec<String> {
        let agent = format!("{} ", node.pids().agent);
        let text = std::fs::read_to_string(&self.notes).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix(&agent)).map(str::to_owned).collect()
    }

    fn has_called(&self, node: &Node, expected: &[&str]) {
        wait::until(&format!("{}'s script was called with {expected:?}", node.name), SLACK, || match self.calls(node) {
            calls if calls == expected => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

/// Kills the primary's postmaster; gives who leads then and how long no write was acknowledged.
fn failover(cluster: &Cluster, writer: &Writer) -> (usize, Duration) {
    let old = cluster.primary().expect("a primary");
    let epoch = cluster.epoch();
    let fault = Cluster::now();
    process::kill(cluster.nodes[old].pids().postmaster.expect("a postmaster"));
    let new = cluster.next_primary(old, TTL + SLACK);
    assert!(cluster.epoch() > epoch, "a new leader has a new epoch");
    writer.writes_again(SLACK);
    (new, writer.so_far().gap_after(fault))
}

/// A record in a foreign server and Patroni's callback scripts: at the start, after a failover, after a switchover.
fn record_and_scripts_follow_the_primary(kind: Kind) {
    let (named, script, hook) = (Named::start(), Script::new(), Hook::start());
    let plugins = named.plugin() + &hook.plugin();
    let options = Options { plugins, callback: Some(script.file.clone()), ..Options::default() };
    let cluster = Cluster::start(kind, 3, &options);
    let writer = cluster.writer();
    let first = cluster.primary().expect("a primary");
    record_names(&named, &cluster, first);
    let standby = cluster.named_standby().expect("a standby");
    let third = 3 - first - standby;
    script.has_called(&cluster.nodes[first], &["on_start primary e2e"]);
    for index in [standby, third] {
        script.has_called(&cluster.nodes[index], &["on_start replica e2e"]);
    }

    let watch = RecordWatch::start(named.address, RECORD);
    let (second, gap) = failover(&cluster, &writer);
    assert_eq!(second, standby, "the synchronous standby takes over");
    record_names(&named, &cluster, second);
    println!("write gap {gap:?}");
    let other = 3 - first - second;
    script.has_called(&cluster.nodes[second], &["on_start replica e2e", "on_role_change primary e2e"]);
    let fallen = ["on_start primary e2e", "on_role_change demoted e2e", "on_role_change replica e2e"];
    script.has_called(&cluster.nodes[first], &fallen);
    script.has_called(&cluster.nodes[other], &["on_start replica e2e"]);
    assert_eq!(cluster.settled(true), second);

    let candidate = wait::until("a standby is named", SLACK, || cluster.named_standby());
    let body = format!(r#"{{"leader":"{}","candidate":"{}"}}"#, cluster.nodes[second].name, cluster.nodes[candidate].name);
    let (code, text) = rest::request("POST", cluster.nodes[second].rest, "/switchover", &body).expect("an answer");
    assert_eq!(code, 200, "{text}");
    record_names(&named, &cluster, candidate);
    let risen = if candidate == first {
        [&fallen[..], &["on_role_change primary e2e"]].concat()
    } else {
        vec!["on_start replica e2e", "on_role_change primary e2e"]
    };
    script.has_called(&cluster.nodes[candidate], &risen);
    let handed =
        ["on_start replica e2e", "on_role_change primary e2e", "on_role_change demoted e2e", "on_role_change replica e2e"];
    script.has_called(&cluster.nodes[second], &handed);
    hook_was_told(&hook, &[first, second, candidate].map(|index| cluster.nodes[index].name.clone()));
    plugins_are_listed(&cluster, candidate);
    cluster.verdict(writer, true);

    // Seen by a client, and in the server's journal: each change moved the record once and nothing moved it back.
    let expected = [first, second, candidate].map(|index| vec![address(&cluster, index)]);
    let seen: Vec<Vec<IpAddr>> = watch.changes().into_iter().map(|(_, addresses)| addresses).collect();
    assert!(watch.asked() > 200, "only {} answers", watch.asked());
    assert_eq!(seen, expected, "what a client saw");
    assert_eq!(named.history(), expected.concat(), "what the server did");
    restarts_are_told(&cluster, &script);
}

/// A restart that an operator asks for is called by its name, on a standby and on the primary.
fn restarts_are_told(cluster: &Cluster, script: &Script) {
    let primary = cluster.primary().expect("a primary");
    for (index, word) in [((primary + 1) % 3, "on_restart replica e2e"), (primary, "on_restart primary e2e")] {
        let node = &cluster.nodes[index];
        let before = script.calls(node);
        let (code, text) = rest::request("POST", node.rest, "/restart", "{}").expect("an answer");
        assert_eq!(code, 200, "{text}");
        let expected: Vec<&str> = before.iter().map(String::as_str).chain([word]).collect();
        script.has_called(node, &expected);
    }
    assert_eq!(cluster.settled(true), primary, "the leader is the same");
}

/// Each new primary in turn, with a signature, refused, left without an answer, and then taken, under one key.
fn hook_was_told(hook: &Hook, primaries: &[String]) {
    wait::until(&format!("the hook was told of {primaries:?}"), SLACK, || {
        let taken: Vec<String> =
            hook.messages().iter().filter(|message| message.taken).map(|message| message.body["node"].to_string()).collect();
        let expected: Vec<String> = primaries.iter().map(|name| format!("\"{name}\"")).collect();
        if taken == expected { Ok(()) } else { Err(format!("{taken:?}: {:#?}", hook.messages())) }
    });
    let messages = hook.messages();
    assert!(messages.iter().all(|message| message.genuine && message.body["role"] == "primary"), "{messages:#?}");
    for attempts in messages.chunks(3) {
        assert!(attempts.len() == 3 && attempts.iter().all(|message| message.key == attempts[0].key), "{messages:#?}");
    }
    let epochs: Vec<u64> = messages.iter().filter_map(|message| message.body["epoch"].as_u64()).collect();
    assert!(epochs.is_sorted() && epochs.len() == messages.len(), "{epochs:?}");
}

/// What `tanist plugin list` shows once nothing is called for a moment.
fn plugins_are_listed(cluster: &Cluster, primary: usize) {
    let config = cluster.nodes[primary].config().display().to_string();
    let list = |format: &str| tanist(&["plugin", "list", "--config", &config, "--format", format]).output();
    let leader = &cluster.nodes[primary].name;
    let as_expected = |row: &serde_json::Value| {
        let state = if row["Member"] == **leader { "loaded" } else { "standby" };
        let granted = if row["Plugin"] == "move" { "log,config,dns" } else { "log,config,http" };
        row["State"] == state && row["Breaker"] == "closed" && row["Journal"] == "current" && row["Granted"] == granted
    };
    let rows = wait::until("all plugins are listed and well", SLACK, || {
        let rows: Vec<serde_json::Value> = serde_json::from_str(&list("json")).map_err(|error| error.to_string())?;
        let well = rows.len() == 2 * cluster.nodes.len() && rows.iter().all(as_expected);
        if well { Ok(rows) } else { Err(format!("{rows:#?}")) }
    });
    let row = rows.iter().find(|row| row["Member"] == **leader && row["Plugin"] == "notify").expect("the leader's row");
    assert!(row["Last event"].as_str().is_some_and(|event| event.starts_with("on_role_change primary ")), "{row:#?}");
    assert_eq!(row["Outcome"], "ok");
    let pretty = list("pretty");
    assert!(pretty.starts_with("+ Plugins of cluster: e2e ") && pretty.contains("| notify "), "{pretty}");
}

fn plugin_host(cluster: &Cluster, index: usize) -> i32 {
    cluster.nodes[index].pids().plugin_host.expect("a plugin host")
}

/// `GET /plugins`.
fn plugins(cluster: &Cluster, index: usize) -> Result<serde_json::Value, String> {
    rest::json(cluster.nodes[index].rest, "/plugins")
}

/// The host that should move the record stands still, or is killed, during the failover: the database does not wait, and the record
/// moves when the host has been replaced.
#[test]
fn a_dead_plugin_host_delays_the_record_and_nothing_else() {
    let named = Named::start();
    let options = Options { plugins: named.plugin(), ..Options::default() };
    let cluster = Cluster::start(Kind::Local, 3, &options);
    let writer = cluster.writer();
    record_names(&named, &cluster, cluster.primary().expect("a primary"));
    let (leader, with_host) = failover(&cluster, &writer);
    record_names(&named, &cluster, leader);

    assert_eq!(cluster.settled(true), leader);
    let standby = cluster.named_standby().expect("a standby");
    let stopped = plugin_host(&cluster, standby);
    process::freeze(stopped);
    let (leader, host_stopped) = failover(&cluster, &writer);
    assert_eq!(leader, standby, "the node with the stopped host takes over");
    assert_ne!(named.record(), Ok(vec![address(&cluster, leader)]), "the record cannot have moved: its host stood");
    wait::until("the stopped host is replaced", Duration::from_secs(30), || match cluster.nodes[leader].pids().plugin_host {
        Some(pid) if pid != stopped && !process::is_alive(stopped) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    record_names(&named, &cluster, leader);
    let status = plugins(&cluster, leader).expect("the plugins");
    assert!(status["host"]["restarts"].as_u64() >= Some(1), "{status}");
    assert!(status["host"]["last_loss"].is_string(), "{status}");
    let plugin = &status["plugins"][0];
    assert_eq!((plugin["name"].as_str(), plugin["load"].as_str()), (Some("move"), Some("loaded")), "{status}");
    assert_eq!(plugin["active"], true, "{status}");

    assert_eq!(cluster.settled(true), leader);
    let standby = cluster.named_standby().expect("a standby");
    let killed = plugin_host(&cluster, standby);
    let old = cluster.primary().expect("a primary");
    let fault = Cluster::now();
    process::kill(cluster.nodes[old].pids().postmaster.expect("a postmaster"));
    process::kill(killed);
    let leader = cluster.next_primary(old, TTL + SLACK);
    assert_eq!(leader, standby, "the node whose host was killed takes over");
    writer.writes_again(SLACK);
    let host_killed = writer.so_far().gap_after(fault);
    record_names(&named, &cluster, leader);
    println!(
        "write gap with the host {with_host:?}, with the host stopped {host_stopped:?}, with the host killed {host_killed:?}"
    );
    for gap in [with_host, host_stopped, host_killed] {
        assert!(gap < GAP, "{gap:?}");
    }
    cluster.verdict(writer, true);
    assert_eq!(named.history().len(), 4, "one move for each leader: {:?}", named.history());
}

/// Faults of the hostile guest, each a plugin of its own.
const FAULTS: [&str; 7] = ["loop", "memory", "panic", "log-flood", "request-flood", "sleep", "http"];

fn with_hostile(named: &Named, directory: &Path) -> String {
    let component = guest::hostile(directory).display().to_string();
    let dns = format!("{{server: {}, zone: dyn.example, names: [x.dyn.example]}}", named.address);
    let mut section = named.plugin();
    for fault in FAULTS {
        section += &format!(
            "  - name: {fault}\n    component: {component}\n    config: {{fault: {fault}}}\n    \
             grants: {{leadership: true, dns: {dns}, http: {{url: \"http://127.0.0.1:1/\"}}}}\n"
        );
    }
    section
}

/// Guests that loop, fill memory, panic and flood: each fails, the record moves, and the database does not wait.
#[test]
fn hostile_guests_do_not_touch_the_database() {
    let directory = tempfile::Builder::new().prefix("tanist-e2e-guests-").tempdir_in("/tmp").expect("a directory");
    place::open_to_all(directory.path());
    let gap = |hostile: bool| {
        let named = Named::start();
        let section = if hostile { with_hostile(&named, directory.path()) } else { named.plugin() };
        let cluster = Cluster::start(Kind::Local, 2, &Options { plugins: section, ..Options::default() });
        let writer = cluster.writer();
        let (new, gap) = failover(&cluster, &writer);
        record_names(&named, &cluster, new);
        if hostile {
            wait::until("every hostile guest was called and failed", Duration::from_secs(60), || {
                let status = plugins(&cluster, new)?;
                let list = status["plugins"].as_array().ok_or("no plugins")?;
                let failed = |name: &str| list.iter().any(|plugin| plugin["name"] == name && plugin["failed"].as_u64() > Some(0));
                let well: Vec<&str> = FAULTS.into_iter().filter(|name| !failed(name)).collect();
                if well.is_empty() { Ok(()) } else { Err(format!("{well:?} have not failed: {status}")) }
            });
        }
        cluster.verdict(writer, true);
        gap
    };
    let (without, with) = (gap(false), gap(true));
    println!("write gap without hostile guests {without:?}, with them {with:?}");
    assert!(without < GAP && with < GAP, "{without:?}, {with:?}");
}

/// A promotion that takes 3 s: no callback says primary and no record moves before writes are accepted.
#[test]
fn nothing_is_told_before_the_promotion_is_done() {
    let (named, script) = (Named::start(), Script::new());
    let options = Options {
        plugins: named.plugin(),
        callback: Some(script.file.clone()),
        parameters: vec!["recovery_end_command: 'sleep 3'".into()],
        ..Options::default()
    };
    let mut cluster = Cluster::start(Kind::Local, 2, &options);
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let new = 1 - old;
    record_names(&named, &cluster, old);
    let old_address = address(&cluster, old);
    cluster.nodes[old].kill();
    wait::until("the standby holds the lease", TTL + SLACK, || match cluster.nodes[new].get("/leader") {
        200 => Ok(()),
        other => Err(format!("/leader {other}")),
    });
    let mut looks = 0;
    wait::until("the standby is primary", TTL + SLACK, || {
        let (record, calls) = (named.record()?, script.calls(&cluster.nodes[new]));
        // Asked after record and calls: what was told then was told too early.
        if cluster.nodes[new].get("/primary") == 200 {
            return Ok(());
        }
        assert_eq!(record, [old_address], "the record moved to a server that is not writable");
        assert_eq!(calls, ["on_start replica e2e"], "a callback came too early");
        looks += 1;
        Err("not yet".into())
    });
    assert!(looks > 10, "only {looks} looks while it was being promoted");
    record_names(&named, &cluster, new);
    script.has_called(&cluster.nodes[new], &["on_start replica e2e", "on_role_change primary e2e"]);
    cluster.nodes[old].start();
    cluster.verdict(writer, true);
}
