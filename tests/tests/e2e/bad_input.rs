//! What people get wrong: one line that names the key or the file and the remedy, an exit code that is not 0, and nothing harmed.

use std::{
    collections::BTreeMap,
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tanist_tests::{
    cluster::Cluster,
    command::{self, tanist},
    guest,
    node::{Node, Options},
    place, sql,
    store::Kind,
    wait,
};

const SLACK: Duration = Duration::from_secs(20);

/// One node that has not been started, and its store.
fn alone(options: &Options) -> Cluster {
    Cluster::prepare(Kind::Local, 1, &Options { synchronous: false, ..options.clone() })
}

/// Starts a service that must refuse: it ends by itself, with a code that is not 0, after one complaint that has all of these words.
fn refuses(node: &mut Node, words: &[&str]) {
    let before = node.told().len();
    node.start();
    let code = node.ended(SLACK);
    assert!(code.is_some_and(|code| code > 0), "exit code {code:?}");
    let told = node.told().split_off(before);
    let complaints: Vec<&str> = told.lines().filter(|line| is_complaint(line)).collect();
    assert_eq!(complaints.len(), 1, "one line, not {complaints:?} in\n{told}");
    for word in words {
        assert!(complaints[0].contains(word), "`{word}` is missing in: {}", complaints[0]);
    }
    println!("{}", complaints[0]);
}

/// What a command says last, not the log of a running service.
fn is_complaint(line: &str) -> bool {
    let remark = line.starts_with("tanist: warning: ") || line.starts_with("tanist: info: ");
    // The guard logs under its name while it runs; its refusal is the line that names the data directory.
    line.starts_with("tanist: ") && !remark || line.starts_with("tanist-guard: another guard")
}

/// Nothing runs in the data directory, and nothing was put there.
fn untouched(node: &Node) {
    assert!(node.postgres_processes().is_empty(), "PostgreSQL runs");
    let files = std::fs::read_dir(node.data()).map_or(0, Iterator::count);
    assert_eq!(files, 0, "{} files in the data directory", files);
}

/// Every file below a directory with its content, for a comparison.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory").flatten() {
            if entry.path().is_dir() {
                pending.push(entry.path());
            } else {
                found.insert(entry.path().display().to_string(), std::fs::read(entry.path()).expect("a file"));
            }
        }
    }
    found
}

/// What can be known from the file and the machine alone is refused before anything is started, and by `check-config` alike.
#[test]
fn a_configuration_that_cannot_be_obeyed() {
    let mut cluster = alone(&Options::default());
    let good = std::fs::read_to_string(cluster.nodes[0].config()).expect("the configuration");
    let (file, bin) = (cluster.nodes[0].config().display().to_string(), place::postgres_bin().display().to_string());
    let empty = cluster.place.path().join("empty");
    std::fs::create_dir(&empty).expect("an empty directory");
    for (from, to, words) in [
        ("maximum_lag_on_failover:", "maximum_lag_at_failover:", ["maximum_lag_at_failover", "unknown"]),
        ("restapi:", "restaip:", ["restaip", "unknown key; correct its name or remove it"]),
        (
            bin.as_str(),
            empty.to_str().expect("text"),
            ["postgresql.bin_dir", "install PostgreSQL's server package or name its directory"],
        ),
        (bin.as_str(), "/nonexistent/bin", ["postgresql.bin_dir", "name the directory"]),
        ("ttl: 5\n", "ttl: five\n", ["bootstrap.dcs.ttl", "must be"]),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(good, bad, "{from}");
        std::fs::write(cluster.nodes[0].config(), bad).expect("the configuration");
        let check = tanist(&["check-config", &file]);
        assert_eq!(check.code, 2, "{check:?}");
        assert!(words.iter().all(|word| check.out.contains(word)), "{words:?} in {check:?}");
        let run = tanist(&["run", &file]);
        assert!(run.code > 0, "{run:?}");
        assert!(
            run.err.lines().any(|line| line.contains(&file) && words.iter().all(|word| line.contains(word))),
            "{words:?}: {run:?}"
        );
        untouched(&cluster.nodes[0]);
    }
    std::fs::write(cluster.nodes[0].config(), good).expect("the configuration");
    tanist(&["check-config", &file]).output();
    tanist(&["run", "/nonexistent/tanist.yml"]).refuses(&["/nonexistent/tanist.yml: cannot be read", "must exist"]);

    // A user that this process cannot become.
    let own = if place::is_root() { "  user: postgres\n" } else { "" };
    cluster.nodes[0].edit(|text| text.replace("  user: postgres\n", "").replace("tanist:\n", "tanist:\n  user: daemon\n"));
    let mut run = place::as_database_user(&place::programs().join("tanist"));
    command::finish(run.arg("run").arg(&file)).refuses(&["tanist.user: daemon", "start it as root or as daemon"]);
    untouched(&cluster.nodes[0]);
    cluster.nodes[0].edit(|text| text.replace("user: daemon", "user: nobody-of-that-name"));
    tanist(&["run", &file]).refuses(&["tanist.user", "nobody-of-that-name"]);
    untouched(&cluster.nodes[0]);
    cluster.nodes[0].edit(|text| text.replace("  user: nobody-of-that-name\n", own));
    if place::is_root() {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("permissions");
        let owned = Command::new("chown").arg("root:").arg(&file).status().expect("chown runs");
        assert!(owned.success());
        refuses(
            &mut cluster.nodes[0],
            &[&file, "cannot be read: Permission denied", "readable by the user that PostgreSQL runs as"],
        );
        untouched(&cluster.nodes[0]);
        let data = cluster.nodes[0].data();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("permissions");
        assert!(Command::new("chown").arg("root:").arg(&data).status().expect("chown runs").success());
        tanist(&["run", &file]).refuses(&["postgresql.data_dir", "belongs to uid 0", "chown"]);
    }
}

/// Every port the service needs: taken by somebody else, it says which and ends; free again, it starts.
#[test]
fn a_port_in_use() {
    let mut cluster = alone(&Options::default());
    let node = &mut cluster.nodes[0];
    let taken = TcpListener::bind(node.rest).expect("the REST port");
    let (rest, postgres, dns) = (node.rest.to_string(), node.postgres.to_string(), node.dns.to_string());
    refuses(node, &["restapi.listen", &rest, "choose another"]);
    drop(taken);
    let taken = TcpListener::bind(node.postgres).expect("PostgreSQL's port");
    refuses(node, &["postgresql.listen", &postgres, "another server"]);
    drop(taken);
    let taken = UdpSocket::bind(node.dns).expect("the DNS port");
    refuses(node, &["dns: ", &dns, "udp", "choose another"]);
    drop(taken);
    let taken = TcpListener::bind(node.dns).expect("the DNS port");
    refuses(node, &["dns: ", &dns, "tcp", "choose another"]);
    drop(taken);
    untouched(node);
    node.start();
    cluster.settled(false);
}

/// A store that nobody serves: the service waits for it and says so, and does nothing else; commands say so in one line.
#[test]
fn a_store_that_is_not_there() {
    for kind in [Kind::Local, Kind::Etcd] {
        let mut cluster = Cluster::prepare(kind, 1, &Options { synchronous: false, ..Options::default() });
        cluster.store.down();
        let config = cluster.nodes[0].config().display().to_string();
        cluster.nodes[0].start();
        let view = wait::until("REST says that the store does not answer", SLACK, || {
            let view = cluster.nodes[0].view()?;
            if view["tanist"]["store_error"].is_string() { Ok(view) } else { Err(view.to_string()) }
        });
        println!("{}: {}", view["tanist"]["reason"], view["tanist"]["store_error"]);
        assert!(cluster.nodes[0].told().contains("the store: "), "the log says it too");
        assert_eq!(cluster.nodes[0].get("/primary"), 503);
        assert_eq!(cluster.nodes[0].get("/liveness"), 200, "it lives and tries");
        tanist(&["list", "--config", &config]).refuses(&[&config, "the store: "]);
        tanist(&["switchover", "--config", &config]).refuses(&[&config, "the store: "]);
        untouched(&cluster.nodes[0]);
        cluster.store.up();
        cluster.settled(false);
        let list = tanist(&["list", "--config", &config]).output();
        assert!(list.contains("| n1 "), "{list}");
    }
}

/// The store goes away from under a running cluster for longer than a lease: standbys go on serving reads by the same processes.
#[test]
fn a_store_that_goes_away_harms_no_standby() {
    let mut cluster = Cluster::start(Kind::Local, 2, &Options::default());
    let writer = cluster.writer();
    let standby = 1 - cluster.primary().expect("a primary");
    let before = cluster.nodes[standby].pids();
    cluster.store.down();
    wait::until("the primary is fenced", SLACK, || match cluster.primary() {
        Ok(index) => Err(format!("{} says primary", cluster.nodes[index].name)),
        Err(_) => Ok(()),
    });
    let view = cluster.nodes[standby].view().expect("its view");
    assert!(view["tanist"]["store_error"].is_string(), "{view}");
    assert_eq!(cluster.nodes[standby].get("/replica"), 200, "it serves reads");
    sql::query(cluster.nodes[standby].postgres, "SELECT count(*) FROM counted").expect("it answers");
    assert_eq!(cluster.nodes[standby].pids().postmaster, before.postmaster, "the same postmaster");
    cluster.store.up();
    cluster.verdict(writer, true);
}

/// A replica with a wrong replication password does not become one, says which key is wrong, and disturbs nobody; so does one
/// whose agent cannot log in.
#[test]
fn wrong_credentials() {
    let options = Options::default();
    let cluster = Cluster::start(Kind::Local, 2, &options);
    let writer = cluster.writer();
    let epoch = cluster.epoch();
    let mut third = Node::new(3, &cluster.place, &cluster.store, &options);
    third.edit(|text| text.replace("password: replicated", "password: mistaken"));
    third.start();
    let job = wait::until("the third node says what is wrong", SLACK, || {
        let view = third.view()?;
        let reason = view["tanist"]["reason"].as_str().unwrap_or_default().to_owned();
        if reason.contains("password authentication failed") { Ok(reason) } else { Err(view.to_string()) }
    });
    println!("{job}");
    assert!(job.contains("postgresql.authentication.replication"), "names the key: {job}");
    assert!(third.told().contains("password authentication failed"), "the log says it too");
    assert_eq!(third.get("/replica"), 503);
    assert_eq!(third.stop(SLACK), Some(0));
    third.edit(|text| text.replace("password: mistaken", "password: replicated"));
    third.start();
    wait::until("with the right password it is a replica", SLACK, || match third.get("/replica") {
        200 => Ok(()),
        other => Err(format!("{other}: {:?}", third.view())),
    });
    assert_eq!(third.stop(SLACK), Some(0));

    // The agent's own login, where no rule lets it in without a password.
    third.edit(|text| {
        text.replace("password: secret", "password: mistaken").replace("local all all trust", "local all all scram-sha-256")
    });
    third.start();
    let error = wait::until("the third node cannot log in", SLACK, || {
        let view = third.view()?;
        let error = view["tanist"]["postgresql_error"].as_str().unwrap_or_default().to_owned();
        if error.contains("password authentication failed") { Ok(error) } else { Err(view.to_string()) }
    });
    println!("{error}");
    assert!(error.contains("postgresql.authentication.superuser"), "names the key: {error}");
    assert_eq!(third.get("/replica"), 503, "what cannot be seen is not offered");
    let postmaster = third.pids().postmaster;
    assert!(postmaster.is_some(), "PostgreSQL runs: {}", third.told());
    let streams = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'n3' AND state = 'streaming'";
    let primary = cluster.primary().expect("a primary");
    // Where its own WAL ends cannot be asked, so it is pointed at nobody.
    assert_eq!(sql::value(cluster.nodes[primary].postgres, streams).as_deref(), Ok("0"));
    assert_eq!(third.stop(SLACK), Some(0));
    third.edit(|text| text.replace("password: mistaken", "password: secret"));
    third.start();
    wait::until("with the right password it streams", SLACK, || {
        match sql::value(cluster.nodes[primary].postgres, streams)?.as_str() {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    assert_eq!(third.stop(SLACK), Some(0));
    assert_eq!(cluster.epoch(), epoch, "nobody was disturbed");
    assert_eq!(undisturbed(&cluster, &writer.finish()), 0, "no write failed");
}

/// Answers of the present primary that were no acknowledgements.
fn undisturbed(cluster: &Cluster, notes: &tanist_tests::writer::Notes) -> usize {
    assert!(notes.acknowledged().len() > 20, "the test saw nothing");
    let primary = cluster.nodes[cluster.primary().expect("a primary")].postgres.ip().to_string();
    let first = notes.of("ack").map(|note| note.at).min().unwrap_or(0);
    notes.0.iter().filter(|note| note.at > first && note.node == primary && note.word != "ack").count()
}

/// Data of another cluster are refused and left as they are, whether the node would lead with them or follow.
#[test]
fn a_data_directory_of_another_cluster() {
    let options = Options { synchronous: false, ..Options::default() };
    let cluster = Cluster::start(Kind::Local, 1, &options);
    let epoch = cluster.epoch();
    let mut other = Node::new(2, &cluster.place, &cluster.store, &options);
    let mut initdb = place::as_database_user(&place::postgres_bin().join("initdb"));
    let made = initdb.arg("-D").arg(other.data()).args(["-U", "postgres", "-A", "trust"]).stdout(Stdio::null()).status();
    assert!(made.expect("initdb runs").success());
    let before = content(&other.data());
    assert!(before.len() > 500, "a real data directory: {} files", before.len());
    let data_dir = other.data().display().to_string();
    refuses(&mut other, &["postgresql.data_dir", &data_dir, "remove it or correct the scope"]);
    assert!(content(&other.data()) == before, "not a byte was changed");
    assert!(other.postgres_processes().is_empty());
    assert_eq!(cluster.epoch(), epoch);
    assert_eq!(cluster.primary(), Ok(0));
}

/// A second node of the primary's name, and one of a standby's: the newcomer ends, the first does not notice.
#[test]
fn a_second_node_of_the_same_name() {
    let options = Options::default();
    let cluster = Cluster::start(Kind::Local, 2, &options);
    let writer = cluster.writer();
    let (primary, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    for (number, victim) in [(3, primary), (4, 1 - primary)] {
        let victim = &cluster.nodes[victim];
        let (taken, mut twin) = (&victim.name, Node::new(number, &cluster.place, &cluster.store, &options));
        twin.edit(|text| text.replace(&format!("name: n{number}\n"), &format!("name: {taken}\n")));
        let place = victim.rest.to_string();
        refuses(&mut twin, &[&format!("name: {taken}"), &place, "give this node a name of its own"]);
        untouched(&twin);
        let shown = tanist_tests::rest::json(cluster.nodes[primary].rest, "/cluster").expect("the cluster");
        let members = shown["members"].as_array().expect("members");
        assert_eq!(members.len(), 2, "{shown}");
        assert!(members.iter().any(|member| member["host"] == victim.postgres.ip().to_string().as_str()), "{shown}");
    }
    assert_eq!(cluster.primary(), Ok(primary), "the same primary");
    assert_eq!(cluster.epoch(), epoch, "the same epoch");
    let notes = writer.finish();
    assert_eq!(undisturbed(&cluster, &notes), 0, "no write failed");
}

/// One data directory for two nodes, with and without a common state directory: the second service ends at once.
#[test]
fn two_nodes_on_one_data_directory() {
    let options = Options { synchronous: false, ..Options::default() };
    let cluster = Cluster::start(Kind::Local, 1, &options);
    let (epoch, first) = (cluster.epoch(), cluster.nodes[0].pids());
    let data_dir = cluster.nodes[0].data().display().to_string();
    let mut second = Node::new(2, &cluster.place, &cluster.store, &options);
    let own = second.data().display().to_string();
    second.edit(|text| text.replace(&own, &data_dir));
    refuses(&mut second, &["another guard", &data_dir, "stop it first"]);
    let (own, theirs) = (second.state().display().to_string(), cluster.nodes[0].state().display().to_string());
    second.edit(|text| text.replace(&own, &theirs));
    refuses(&mut second, &["another guard", &data_dir, "stop it first"]);
    assert_eq!(cluster.primary(), Ok(0));
    assert_eq!(cluster.epoch(), epoch, "the same epoch");
    let now = cluster.nodes[0].pids();
    assert_eq!((now.guard, now.agent, now.postmaster), (first.guard, first.agent, first.postmaster), "the same processes");
}

/// Components that cannot run: `plugin check` says why; a service with such a plugin says it, and keeps the database up without it.
#[test]
fn components_that_cannot_run() {
    let directory = tempfile::Builder::new().prefix("tanist-e2e-guests-").tempdir_in("/tmp").expect("a directory");
    place::open_to_all(directory.path());
    let corrupt = guest::corrupt(directory.path()).display().to_string();
    let hostile = guest::hostile(directory.path()).display().to_string();
    let check = |file: &str, grants: &str| tanist(&["plugin", "check", file, "--name", "extra", "--grants", grants]);
    let torn = check(&corrupt, "");
    assert!(torn.code > 0 && torn.err.contains(&corrupt), "{torn:?}");
    let ungranted = check(&hostile, "leadership");
    assert!(ungranted.code > 0, "{ungranted:?}");
    assert!(ungranted.out.contains("plugins.extra.grants.dns"), "the remedy: {ungranted:?}");
    check(&hostile, "leadership,dns,http").output();
    let missing = tanist(&["plugin", "check", "/nonexistent.wasm"]);
    assert!(missing.code > 0 && missing.err.contains("/nonexistent.wasm"), "{missing:?}");

    let plugins = format!(
        "plugins:\n  - name: torn\n    component: {corrupt}\n  - name: greedy\n    component: {hostile}\n    grants: {{leadership: true}}\n"
    );
    let mut cluster = alone(&Options { plugins, ..Options::default() });
    cluster.nodes[0].start();
    cluster.settled(false);
    let rest = cluster.nodes[0].rest;
    let status = wait::until("both plugins have failed to load", SLACK, || {
        let status = tanist_tests::rest::json(rest, "/plugins")?;
        let plugins = status["plugins"].as_array().ok_or("no plugins")?;
        let failed = plugins.iter().filter(|plugin| plugin["load"] == "failed").count();
        if failed == 2 { Ok(status.clone()) } else { Err(status.to_string()) }
    });
    let problem = |name: &str| {
        let plugins = status["plugins"].as_array().expect("plugins");
        let plugin = plugins.iter().find(|plugin| plugin["name"] == name).expect("the plugin");
        plugin["problem"].as_str().expect("a problem").to_owned()
    };
    assert!(problem("torn").contains(&corrupt), "{}", problem("torn"));
    assert!(problem("greedy").contains("plugins.greedy.grants.dns"), "{}", problem("greedy"));
    let log = cluster.nodes[0].told();
    assert!(log.contains("plugins.greedy.grants.dns") && log.contains(&corrupt), "the log says it too");
    assert_eq!(cluster.primary(), Ok(0), "the database is up");
    cluster.nodes[0].edit(|text| text.replace(&corrupt, "/nonexistent.wasm"));
    assert_eq!(cluster.nodes[0].stop(SLACK), Some(0));
    refuses(&mut cluster.nodes[0], &["plugins.torn.component", "/nonexistent.wasm"]);
}
