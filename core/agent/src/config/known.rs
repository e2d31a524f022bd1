//! Keys that Patroni reads and tanist does not, yet: what their author should know. Whoever makes one work removes its line, because
//! its field in `spec` takes it from then on.

use super::report::Report;

/// How much it matters that a key has no effect.
#[derive(Clone, Copy)]
enum Kind {
    /// Something that was asked for does not happen.
    Missing(&'static str),
    /// Nothing is missed.
    Harmless(&'static str),
    /// Cannot be done without: the agent does not start.
    Refused(&'static str),
}

use Kind::{Harmless, Missing, Refused};

const NO_EFFECT: &str = "has no effect";
const CONSUL: &str = "belongs to Consul; with etcd3 it has no effect";
const NO_TLS: &str = "connections are not encrypted";

/// Keys by their dotted path.
const KNOWN: &[(&str, Kind)] = &[
    (
        "etcd",
        Refused("etcd's protocol 2 is not supported; rename the section to etcd3 (protocol 3) if the servers are 3.4 or later"),
    ),
    ("consul", Refused("Consul is not supported by this version of tanist; use etcd3, or local on a single machine")),
    ("zookeeper", Refused("ZooKeeper is not supported; use etcd3, or local on a single machine")),
    ("exhibitor", Refused("Exhibitor is not supported; use etcd3, or local on a single machine")),
    ("kubernetes", Refused("Kubernetes as a store is not supported; use etcd3")),
    ("raft", Refused("a built-in raft is not supported by this version of tanist; use etcd3, or local on a single machine")),
    ("initdb", Missing("belongs under bootstrap; where it stands it has no effect, in Patroni neither")),
    ("citus", Missing(NO_EFFECT)),
    ("mpp", Missing(NO_EFFECT)),
    ("ctl", Harmless(NO_EFFECT)),
    ("ttl", Missing("belongs under bootstrap.dcs")),
    ("loop_wait", Missing("belongs under bootstrap.dcs")),
    ("retry_timeout", Missing("belongs under bootstrap.dcs")),
    ("log.format", Harmless(NO_EFFECT)),
    ("log.dateformat", Harmless(NO_EFFECT)),
    ("log.traceback_level", Harmless(NO_EFFECT)),
    ("log.max_queue_size", Harmless(NO_EFFECT)),
    ("log.deduplicate_heartbeat_logs", Harmless(NO_EFFECT)),
    ("log.static_fields", Harmless(NO_EFFECT)),
    ("log.loggers", Harmless(NO_EFFECT)),
    ("log.dir", Missing("the log goes to standard error only")),
    ("log.mode", Harmless(NO_EFFECT)),
    ("log.file_size", Harmless(NO_EFFECT)),
    ("log.file_num", Harmless(NO_EFFECT)),
    ("restapi.certfile", Missing(NO_TLS)),
    ("restapi.keyfile", Missing(NO_TLS)),
    ("restapi.keyfile_password", Missing(NO_TLS)),
    ("restapi.cafile", Missing(NO_TLS)),
    ("restapi.ciphers", Missing(NO_TLS)),
    ("restapi.verify_client", Missing("client certificates are not asked for")),
    ("restapi.allowlist", Missing("requests are accepted from every address")),
    ("restapi.allowlist_include_members", Missing("requests are accepted from every address")),
    ("restapi.http_extra_headers", Harmless(NO_EFFECT)),
    ("restapi.https_extra_headers", Harmless(NO_EFFECT)),
    ("restapi.request_queue_size", Harmless(NO_EFFECT)),
    ("restapi.server_tokens", Harmless(NO_EFFECT)),
    ("etcd3.srv", Refused("finding etcd by SRV records is not supported; name the servers in etcd3.hosts")),
    ("etcd3.srv_suffix", Refused("finding etcd by SRV records is not supported; name the servers in etcd3.hosts")),
    ("etcd3.proxy", Refused("a proxy before etcd is not supported; name the servers in etcd3.hosts")),
    ("etcd3.use_proxies", Harmless("the servers of etcd3.hosts are used as they are")),
    ("etcd3.register_service", Missing(CONSUL)),
    ("etcd3.service_check_interval", Harmless(CONSUL)),
    ("etcd3.service_check_tls_server_name", Harmless(CONSUL)),
    ("etcd3.service_tags", Harmless(CONSUL)),
    ("etcd3.checks", Harmless(CONSUL)),
    ("etcd3.consistency", Harmless(CONSUL)),
    ("etcd3.dc", Harmless(CONSUL)),
    ("etcd3.scheme", Harmless(CONSUL)),
    ("etcd3.token", Harmless(CONSUL)),
    ("etcd3.verify", Harmless(CONSUL)),
    ("etcd3.port", Missing("name the port behind the host")),
    ("etcd3.version_prefix", Harmless(NO_EFFECT)),
    ("etcd3.cluster_id", Harmless(NO_EFFECT)),
    ("bootstrap.users", Missing("these users are not created")),
    ("bootstrap.post_bootstrap", Missing("the script is not run")),
    ("bootstrap.post_init", Missing("the script is not run")),
    ("postgresql.proxy_address", Missing(NO_EFFECT)),
    ("postgresql.bin_name", Missing("PostgreSQL's programs are called by their own names")),
    ("postgresql.database", Missing("the database `postgres` is used")),
    ("postgresql.custom_conf", Missing(NO_EFFECT)),
    ("postgresql.recovery_conf", Missing(NO_EFFECT)),
    ("postgresql.pg_ident", Missing(NO_EFFECT)),
    ("postgresql.pg_ctl_timeout", Harmless(NO_EFFECT)),
    ("postgresql.use_unix_socket_repl", Harmless(NO_EFFECT)),
    ("postgresql.use_slots", Missing("belongs under bootstrap.dcs.postgresql, in Patroni too")),
    ("postgresql.pre_promote", Missing("the script is not run")),
    ("postgresql.before_stop", Missing("the script is not run")),
    ("postgresql.krbsrvname", Missing(NO_EFFECT)),
    ("postgresql.name", Harmless(NO_EFFECT)),
    ("postgresql.scope", Harmless(NO_EFFECT)),
    ("postgresql.maximum_lag_on_failover", Missing("belongs under bootstrap.dcs")),
    ("watchdog.safety_margin", Harmless(NO_EFFECT)),
];

/// Options of a connection, below each of `postgresql.authentication`'s users.
const CONNECTION: &[&str] = &[
    "sslmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
    "gssencmode",
    "channel_binding",
];

/// Reports a key that no field took. `methods` are the names of custom methods, which have sections of their own.
pub(super) fn report_unread(key: &str, methods: &[String], report: &mut Report) {
    let unsupported = "is not supported by this version of tanist and has no effect";
    match kind_of(key, methods) {
        Some(Missing(remark)) if remark.starts_with("belongs") => report.warning(key, remark),
        Some(Missing(NO_EFFECT)) => report.warning(key, unsupported),
        Some(Missing(remark)) => report.warning(key, format!("{unsupported}: {remark}")),
        Some(Harmless(remark)) if remark.starts_with("belongs") => report.info(key, remark),
        Some(Harmless(NO_EFFECT)) => report.info(key, unsupported),
        Some(Harmless(remark)) => report.info(key, format!("{unsupported}: {remark}")),
        Some(Refused(remark)) => report.error(key, remark),
        None => report.error(key, "unknown key; correct its name or remove it"),
    }
}

fn kind_of(key: &str, methods: &[String]) -> Option<Kind> {
    if let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == key) {
        return Some(*kind);
    }
    let connection = key.strip_prefix("postgresql.authentication.").and_then(|rest| rest.split_once('.'));
    if connection.is_some_and(|(_, option)| CONNECTION.contains(&option)) {
        return Some(Missing("connections are made without it"));
    }
    let method = key.strip_prefix("postgresql.").or_else(|| key.strip_prefix("bootstrap."))?;
    methods.iter().any(|name| name == method).then_some(Missing(NO_EFFECT))
}
