//! Whole files and what is said about them: each `tests/config/NAME.yml` has its `NAME.report`. `TANIST_BLESS=1` writes the reports
//! anew; look at the difference before you believe it.

use super::*;
use std::{collections::BTreeSet, fs, path::PathBuf};
use tanist_engine::{Endpoint, SyncMode};

/// A disk on which exactly one directory has PostgreSQL's programs.
struct Fake;

const BIN: &str = "/usr/lib/postgresql/15/bin";

impl Programs for Fake {
    fn executables(&self, directory: &Path) -> Option<BTreeSet<String>> {
        let names: &[&str] = match directory.to_str()? {
            BIN => &["initdb", "pg_basebackup", "pg_controldata", "pg_ctl", "postgres"],
            "/opt/client/bin" => &["psql", "pg_basebackup"],
            _ => return None,
        };
        Some(names.iter().map(|&name| name.to_owned()).collect())
    }

    fn search(&self) -> Vec<PathBuf> {
        vec!["/usr/bin".into(), "/opt/client/bin".into(), BIN.into()]
    }
}

fn load(text: &str) -> Result<Loaded<Settings>, Vec<ConfigError>> {
    load_text("patroni.yml", text, &Environment::new(), &Fake)
}

fn errors(text: &str) -> Vec<String> {
    load(text).expect_err("a configuration that cannot be used").iter().map(ToString::to_string).collect()
}

fn golden(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The smallest file that starts.
const SMALL: &str = "\
scope: main
name: a
restapi: {listen: '10.0.0.1:8008'}
local: {socket: /run/tanist/store.sock}
postgresql:
  listen: 10.0.0.1:5432
  data_dir: /var/lib/postgresql/15/main
  authentication:
    superuser: {username: postgres, password: secret}
    replication: {username: replicator, password: secret}
";

#[test]
fn goldens() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut seen = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let loaded = load_text(&name, &fs::read_to_string(&path).unwrap(), &Environment::new(), &Fake);
        let report = check::outcome(&name, loaded);
        let text = format!("{}\nexit code {}\n", report.lines.join("\n"), report.exit_code);
        let expected = path.with_extension("report");
        if std::env::var_os("TANIST_BLESS").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&expected).unwrap_or_default(), "{name}");
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} goldens in {}", directory.display());
}

#[test]
fn the_smallest_file() {
    let Loaded { settings, notes } = load(SMALL).unwrap();
    assert_eq!(notes, []);
    assert_eq!(
        (settings.cluster.scope.as_str(), settings.cluster.namespace.as_str(), settings.name.0.as_str()),
        ("main", "service", "a")
    );
    assert_eq!(settings.rest.api_url(), "http://10.0.0.1:8008/patroni");
    assert_eq!(settings.postgres.connect, Endpoint { host: "10.0.0.1".to_owned(), port: 5432 });
    assert_eq!(settings.postgres.bin_dir, PathBuf::from(BIN));
    assert_eq!(settings.postgres.config_dir, settings.postgres.data_dir);
    assert_eq!(settings.state_dir, PathBuf::from("/var/lib/postgresql/15/tanist-main-a"));
    assert_eq!(settings.postgres.socket_dir, settings.state_dir);
    assert!(matches!(settings.cluster.store, StoreSettings::Local { .. }));
    assert!(!format!("{settings:?}").contains("secret"), "a password in Debug");
}

#[test]
fn an_ordinary_patroni_yml() {
    let Loaded { settings, .. } = load(&golden("ordinary.yml")).unwrap();
    let StoreSettings::Etcd(etcd) = &settings.cluster.store else { panic!("{:?}", settings.cluster.store) };
    assert_eq!(etcd.endpoints, ["http://10.0.0.11:2379", "http://10.0.0.12:2379", "http://10.0.0.13:2379"]);
    assert_eq!(settings.bootstrap.initdb, ["encoding=UTF8", "data-checksums", "locale=C.UTF-8"]);
    assert_eq!(settings.postgres.listen, ["10.0.0.1", "127.0.0.1"]);
    assert_eq!(settings.postgres.callbacks.on_role_change.as_deref(), Some("/etc/patroni/moved.sh --now"));
    assert_eq!(settings.watchdog.mode, WatchdogMode::Off);
    assert!(settings.engine_tags.nosync && !settings.engine_tags.nofailover);
    let policy = settings.bootstrap.dynamic.policy(settings.engine_tags);
    assert_eq!(policy.synchronous, SyncMode::On { strict: false, node_count: 1 });
    let parameters = settings.postgres.effective_parameters(&settings.bootstrap.dynamic.postgresql);
    let value = |name: &str| parameters.get(name).map(String::as_str);
    assert_eq!((value("work_mem"), value("max_connections"), value("hot_standby")), (Some("8MB"), Some("100"), Some("on")));
    let lines = settings.postgres.effective_pg_hba(&settings.bootstrap.dynamic.postgresql, &settings.bootstrap);
    assert_eq!(lines, ["local all all trust", "host all all 10.0.0.0/24 scram-sha-256"]);
}

#[test]
fn the_file_of_a_field_report_starts() {
    let Loaded { settings, notes } = load(&golden("field-report.yml")).unwrap();
    assert_eq!(settings.postgres.superuser.username, "postgres");
    assert_eq!(settings.postgres.replication.password.as_ref().map(Secret::expose), Some("streams"));
    assert_eq!(settings.cluster.rest_credentials.as_ref().map(|user| user.username.as_str()), Some("keeper"));
    assert!(notes.iter().any(|note| note.key == "initdb" && note.severity == Severity::Warning), "{notes:?}");
}

#[test]
fn plugins_and_names() {
    let Loaded { settings, .. } = load(&golden("plugins.yml")).unwrap();
    let [first, second, third] = settings.plugins.as_slice() else { panic!("{:?}", settings.plugins) };
    assert_eq!(first.source, PluginSource::Builtin("dns-update".to_owned()));
    let grant = &first.grants.dns[0];
    assert_eq!((grant.server.to_string().as_str(), grant.zone.as_str(), grant.names.len()), ("10.0.0.53:53", "example.org", 1));
    let key = grant.tsig_key.as_ref().unwrap();
    assert_eq!(
        (key.name.as_str(), key.algorithm.as_str(), key.secret.expose()),
        ("tanist-key", "hmac-sha256", "c2VjcmV0IGtleSBmb3IgdGVzdHM=")
    );
    assert_eq!(first.config["name"], "db.example.org.");
    assert_eq!(second.limits, PluginLimits { memory: Some(32 << 20), cpu_ms: Some(200), wall_ms: Some(5000), log: None });
    assert_eq!(second.source, PluginSource::File(PathBuf::from("/etc/tanist/plugins/vip.wasm")));
    let [grant] = third.grants.http.as_slice() else { panic!("{:?}", third.grants) };
    assert_eq!(
        (grant.url.to_string().as_str(), grant.methods.as_slice()),
        ("https://hooks.example.org/tanist", &["POST".to_owned()][..])
    );
    let added: Vec<(&str, &str)> = grant.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(added, [("X-Room", "databases"), ("Authorization", "Basic dGFuaXN0OnNlY3JldA==")]);
    assert_eq!(grant.signing_key.as_ref().map(Secret::expose), Some("topsecret"));
    let dns = settings.cluster.dns.unwrap();
    assert_eq!((dns.listen.len(), dns.zone.as_str(), dns.ttl, dns.nameservers.len()), (2, "db.example", 1, 2));
}

#[test]
fn a_name_server_has_an_address_that_others_reach() {
    let advertised = |listen: &str, addresses: &str| {
        let (rest, postgres) = addresses.split_once(' ').unwrap();
        let text = SMALL.replace("10.0.0.1:8008", &format!("{rest}:8008")).replace("10.0.0.1:5432", &format!("{postgres}:5432"));
        let dns =
            load(&format!("{text}dns: {{zone: db.example, listen: [{listen}]}}\n")).map(|loaded| loaded.settings.cluster.dns);
        dns.map(|dns| dns.unwrap().advertised.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let same = "10.0.0.1 10.0.0.2";
    assert_eq!(advertised("'10.0.0.9:53'", same).unwrap(), "10.0.0.9");
    assert_eq!(advertised("'0.0.0.0:53'", same).unwrap(), "10.0.0.2", "as clients reach PostgreSQL");
    assert_eq!(advertised("'[::]:53'", same).unwrap(), "10.0.0.2");
    assert_eq!(advertised("'0.0.0.0:53', '10.0.0.2:53'", same).unwrap(), "10.0.0.2");
    assert_eq!(advertised("'0.0.0.0:53'", "10.0.0.1 127.0.0.1,10.0.0.3").unwrap(), "10.0.0.3");
    assert_eq!(advertised("'0.0.0.0:53'", "10.0.0.1 db1.example").unwrap(), "10.0.0.1");
    for (listen, addresses) in [("'0.0.0.0:53'", "r1.example db1.example"), ("'0.0.0.0:53'", "[fd00::1] db1.example")] {
        let error = advertised(listen, addresses).unwrap_err();
        assert!(error.contains("dns.ns: is missing") && error.contains("connect_address"), "{error}");
    }
    let named = "dns: {zone: db.example, listen: ['0.0.0.0:53'], ns: [{name: ns1.db.example, addresses: [0.0.0.0]}]}\n";
    let errors = errors(&format!("{SMALL}{named}"));
    assert!(
        errors.iter().any(|error| error.contains("dns.ns[0].addresses: must be addresses that others can reach")),
        "{errors:?}"
    );
}

#[test]
fn variables_win_over_the_file() {
    let environment: Environment = [
        ("PATRONI_NAME", "b"),
        ("PATRONI_SCOPE", "other"),
        ("PATRONI_POSTGRESQL_LISTEN", "10.0.0.2:5433"),
        ("PATRONI_SUPERUSER_PASSWORD", "from outside"),
        ("PATRONI_RESTAPI_USERNAME", "keeper"),
        ("PATRONI_RESTAPI_PASSWORD", "keeps"),
        ("PATRONI_LOG_LEVEL", "WARNING"),
        ("PATRONI_CONSUL_HOST", "x"),
        ("PATRONI_NAMESPACE", ""),
        ("HOME", "/root"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let Loaded { settings, notes } = load_text("patroni.yml", SMALL, &environment, &Fake).unwrap();
    assert_eq!((settings.name.0.as_str(), settings.cluster.scope.as_str(), settings.postgres.port), ("b", "other", 5433));
    assert_eq!(settings.postgres.superuser.password.as_ref().map(Secret::expose), Some("from outside"));
    assert_eq!(settings.postgres.superuser.username, "postgres");
    assert_eq!(settings.cluster.log.level, LogLevel::Warn);
    assert!(settings.cluster.rest_credentials.is_some());
    let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        ["environment variable PATRONI_CONSUL_HOST: is not supported by this version of tanist and has no effect; use the file"]
    );

    let wrong = Environment::from([("PATRONI_POSTGRESQL_LISTEN".to_owned(), "10.0.0.2:x".to_owned())]);
    let wrong = load_text("patroni.yml", SMALL, &wrong, &Fake).unwrap_err();
    let said = "environment variable PATRONI_POSTGRESQL_LISTEN: postgresql.listen: must have a port from 1 to 65535";
    assert_eq!(wrong.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
}

#[test]
fn a_command_needs_less_than_an_agent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dns.yml");
    fs::write(
        &path,
        "scope: main\netcd3: {hosts: '10.0.0.1,10.0.0.2:2380'}\ndns: {listen: '127.0.0.1:5353', zone: db.example.}\n",
    )
    .unwrap();
    let Loaded { settings, notes } = load_cluster(&path, &Environment::new()).unwrap();
    assert_eq!(notes, []);
    let StoreSettings::Etcd(etcd) = settings.store else { panic!("{:?}", settings.store) };
    assert_eq!(etcd.endpoints, ["http://10.0.0.1:2379", "http://10.0.0.2:2380"]);
    assert_eq!(settings.dns.unwrap().zone, "db.example");
    assert_eq!(super::load(&path, &Environment::new()).unwrap_err().len(), 3, "name, restapi, postgresql");
}

#[test]
fn forms_of_etcd() {
    for (section, endpoints) in [
        ("{host: 'e1:2379'}", vec!["http://e1:2379"]),
        ("{hosts: 'e1:2379, e2'}", vec!["http://e1:2379", "http://e2:2379"]),
        ("{hosts: ['e1:2379', \"[fd00::1]:2379\"]}", vec!["http://e1:2379", "http://[fd00::1]:2379"]),
        ("{url: 'http://e1:2379/'}", vec!["http://e1:2379"]),
    ] {
        let text = SMALL.replace("local: {socket: /run/tanist/store.sock}", &format!("etcd3: {section}"));
        let StoreSettings::Etcd(etcd) = load(&text).unwrap().settings.cluster.store else { panic!("{section}") };
        assert_eq!(etcd.endpoints, endpoints, "{section}");
    }
}

#[test]
fn etcd_with_tls_and_a_login() {
    let with = |section: &str| {
        let text = SMALL.replace("local: {socket: /run/tanist/store.sock}", &format!("etcd3: {section}"));
        let settings = load(&text).unwrap().settings;
        assert!(!format!("{settings:?}").contains("hush"), "a password in Debug");
        let StoreSettings::Etcd(etcd) = settings.cluster.store else { panic!("{section}") };
        etcd
    };
    let etcd = with("{hosts: 'e1,http://e2', protocol: HTTPS, cacert: /c/ca, cert: /c/me, username: tanist, password: hush}");
    assert_eq!(etcd.endpoints, ["https://e1:2379", "http://e2:2379"]);
    assert_eq!(etcd.cacert, Some(PathBuf::from("/c/ca")));
    assert_eq!(etcd.identity, Some((PathBuf::from("/c/me"), PathBuf::from("/c/me"))), "the key in the certificate's file");
    assert_eq!(etcd.user.map(|(name, password)| (name, password.expose().to_owned())), Some(("tanist".into(), "hush".into())));
    let etcd = with("{url: 'https://e1:2379/', cert: /c/me, key: /c/key}");
    assert_eq!(etcd.endpoints, ["https://e1:2379"]);
    assert_eq!(etcd.identity, Some((PathBuf::from("/c/me"), PathBuf::from("/c/key"))));
    assert_eq!((etcd.cacert, etcd.user), (None, None));
}

#[test]
fn one_fault_each() {
    let at = |from: &str, to: &str| errors(&SMALL.replace(from, to));
    for (from, to, said) in [
        (
            "name: a",
            "name: a/b",
            "patroni.yml:2: name: must have 1 to 63 printable ASCII characters without blanks, slashes, commas, quotes and asterisks",
        ),
        ("name: a\n", "", "patroni.yml: name: is missing; give this node a name that no other node of the cluster has"),
        ("scope: main", "scope: [main]", "patroni.yml:1: scope: must be a text (in quotes if need be), not sequence"),
        (
            "local: {socket: /run/tanist/store.sock}\n",
            "",
            "patroni.yml: names no store; add a section etcd3 with hosts, or local with socket on a single machine",
        ),
        (
            "local: {socket: /run/tanist/store.sock}",
            "local: {socket: store.sock}",
            "patroni.yml:4: local.socket: must be an absolute path, not `store.sock`",
        ),
        (
            "local:",
            "etcd3: {hosts: ['a:1']}\nlocal:",
            "patroni.yml:5: local: stands beside etcd3; a cluster has one store, remove one of the two sections",
        ),
        (
            "local: {socket: /run/tanist/store.sock}",
            "etcd3: {hosts: e1, protocol: https, key: /c/key}",
            "patroni.yml:4: etcd3.key: stands alone; set etcd3.cert to the certificate that belongs to it",
        ),
        (
            "local: {socket: /run/tanist/store.sock}",
            "etcd3: {hosts: e1, username: tanist}",
            "patroni.yml:4: etcd3.password: is missing beside etcd3.username",
        ),
        (
            "local: {socket: /run/tanist/store.sock}",
            "consul: {host: 'localhost:8500'}",
            "patroni.yml:4: consul: Consul is not supported by this version of tanist; use etcd3, or local on a single machine",
        ),
        (
            "  listen: 10.0.0.1:5432",
            "  listen: '*:5432'",
            "patroni.yml:5: postgresql.connect_address: is missing; postgresql.listen names no address that others could connect to",
        ),
        ("/var/lib/postgresql/15/main", "data", "patroni.yml:7: postgresql.data_dir: must be an absolute path, not `data`"),
        (
            "  listen: 10",
            "  bin_dir: /opt/client/bin\n  listen: 10",
            "patroni.yml:6: postgresql.bin_dir: /opt/client/bin has only pg_basebackup; initdb, pg_controldata, \
             postgres is missing; install PostgreSQL's server package or name its directory",
        ),
        (
            "  listen: 10",
            "  use_unix_socket: maybe\n  listen: 10",
            "patroni.yml:6: postgresql.use_unix_socket: must be true or false, not string \"maybe\"",
        ),
        ("  listen: 10", "  foo: 1\n  listen: 10", "patroni.yml:6: postgresql.foo: unknown key; correct its name or remove it"),
        (
            "name: a",
            "name: a\nbootstrap: {dcs: {synchronous_mod: on}}",
            "patroni.yml:3: bootstrap.dcs.synchronous_mod: unknown key; correct its name or remove it",
        ),
        ("name: a", "name: a\nbootstrap: {dcs: {ttl: 1}}", "patroni.yml:3: bootstrap.dcs.ttl: must be 2 to 86400 seconds"),
        (
            "name: a",
            "name: a\nbootstrap: {dcs: {standby_cluster: {host: x}}}",
            "patroni.yml:3: bootstrap.dcs.standby_cluster: a standby cluster is not supported by this version of \
             tanist; remove the section to make a cluster of its own",
        ),
        (
            "name: a",
            "name: a\nbootstrap: {method: wal_g}",
            "patroni.yml:3: bootstrap.method: `wal_g`: custom methods are not supported by this version of tanist; use initdb",
        ),
        (
            "name: a",
            "name: a\nwatchdog: {mode: required}",
            "patroni.yml:3: watchdog.mode: `required` cannot be honoured by this version of tanist; set it to automatic or off",
        ),
        ("name: a", "name: a\ntags: {nofailover: perhaps}", "patroni.yml:3: tags.nofailover: must be true or false"),
        ("name: a", "name: a\nname: b", "patroni.yml:3: name: is given twice, first in line 2; remove one of them"),
        (
            "username: replicator, ",
            "",
            "patroni.yml:10: postgresql.authentication.replication.username: is missing; every node must name the same user",
        ),
        (
            "name: a",
            "name: a\ntanist: {state_dir: /var/lib/postgresql/15/main/x}",
            "patroni.yml:3: tanist.state_dir: must not be inside postgresql.data_dir, which may be replaced as a whole",
        ),
        ("name: a", "name: a\ndns: {listen: ['0.0.0.0:53'], zone: 'a..b'}", "patroni.yml:3: dns.zone: `a..b` is no domain name"),
        (
            "name: a",
            "name: a\nplugins:\n- {name: x, component: 'builtin:vip'}",
            "patroni.yml:4: plugins[0].component: `vip` is not built in; there is dns-update, notify",
        ),
        (
            "name: a",
            "name: a\nplugins:\n- {name: x, component: 'builtin:notify', grants: {http: {url: 'https://a/../b'}}}",
            "patroni.yml:4: plugins[0].grants.http.url: cannot be granted: its path or query could be understood in two ways",
        ),
        (
            "name: a",
            "name: a\nplugins:\n- {name: x, component: 'builtin:notify', grants: {http: {url: 'https://a/', methods: []}}}",
            "patroni.yml:4: plugins[0].grants.http.methods: must be a list of methods, for example [GET, POST]",
        ),
        ("name: a", "name: a\nplugins: {}", "patroni.yml:3: plugins: must be a sequence, not map"),
    ] {
        assert_eq!(at(from, to), [said], "{to}");
    }
}

#[test]
fn files_that_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("patroni.yml");
    let said = |path: &Path| super::load(path, &Environment::new()).unwrap_err()[0].to_string();
    assert!(said(&path).contains("patroni.yml: cannot be read: No such file"), "{}", said(&path));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(said(&path).ends_with("is not UTF-8 at byte 0"), "{}", said(&path));
    fs::write(&path, vec![b' '; MAX_FILE + 1]).unwrap();
    assert!(said(&path).contains("bytes are more than"), "{}", said(&path));
    fs::write(&path, "a: [1\nb: 2\n").unwrap();
    assert!(said(&path).contains("is not valid YAML"), "{}", said(&path));
    fs::write(&path, "- a\n- b\n").unwrap();
    assert!(said(&path).contains("a map of sections"), "{}", said(&path));
    assert!(load("").is_err());
}

#[test]
fn a_file_cut_off_anywhere_is_answered() {
    for name in ["plugins.yml", "unsupported.yml"] {
        let text = golden(name);
        let whole = load(&text).is_ok();
        assert!(whole, "{name}");
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            if let Err(errors) = load(&text[..end]) {
                assert!(errors.iter().all(|error| !error.problem.is_empty()) && !errors.is_empty(), "{name} cut at {end}");
            }
        }
    }
}

#[test]
fn several_faults_in_one_run() {
    let text = SMALL.replace("name: a\n", "").replace("/var/lib/postgresql/15/main", "x").replace(":8008", ":80080");
    let said = errors(&text);
    assert_eq!(said.len(), 3, "{said:?}");
}
