//! The configuration as the agent uses it: checked, complete, free of any file format.

use super::Secret;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tanist_broker::Url;
use tanist_engine::{Diverged, Endpoint, MemberName, Tags};
use tanist_patroni::dynamic::{DynamicConfig, DynamicPostgresql};

/// Everything an agent needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What also the commands need that only look at the cluster.
    pub cluster: ClusterSettings,
    /// `name`: this node.
    pub name: MemberName,
    /// `restapi`.
    pub rest: RestSettings,
    /// `bootstrap`.
    pub bootstrap: BootstrapSettings,
    /// `postgresql`.
    pub postgres: PostgresSettings,
    /// `watchdog`.
    pub watchdog: WatchdogSettings,
    /// `tags`, all of them; the engine's are `engine_tags`.
    pub tags: Map<String, Value>,
    /// The tags that the engine knows.
    pub engine_tags: Tags,
    /// `plugins`.
    pub plugins: Vec<PluginSetting>,
    /// `tanist.state_dir`.
    pub state_dir: PathBuf,
    /// `tanist.storage`.
    pub storage: StorageSettings,
    /// `tanist.user`: who a process started as root becomes.
    pub user: Option<String>,
}

/// What the commands need that only look at a cluster.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// `scope`: the cluster's name.
    pub scope: String,
    /// `namespace`, without slashes around it.
    pub namespace: String,
    /// `log`.
    pub log: LogSettings,
    /// `etcd3` or `local`.
    pub store: StoreSettings,
    /// Who may change something over REST; `None`: everybody.
    pub rest_credentials: Option<Credentials>,
    /// `dns`.
    pub dns: Option<DnsSettings>,
}

/// Where leases and keys live.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// etcd, by its third protocol.
    Etcd(EtcdSettings),
    /// The embedded store of this machine.
    Local {
        /// Its Unix socket.
        socket: PathBuf,
    },
}

/// An etcd cluster.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// URLs of its members, `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// For `https`, the authorities to trust; `None`: those of this system.
    pub cacert: Option<PathBuf>,
    /// For `https`, the own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whom to log in as.
    pub user: Option<(String, Secret)>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its name.
    pub username: String,
    /// Its password; `None`: it needs none.
    pub password: Option<Secret>,
}

/// Logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// From which level on.
    pub level: LogLevel,
    /// One JSON object per line (`log.type: json`).
    pub json: bool,
}

/// Python's levels, folded into ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word it shows")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// The word `tracing` uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The REST API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestSettings {
    /// Where it listens; the host may be a name or `*`.
    pub listen: Endpoint,
    /// Where others reach it.
    pub connect: Endpoint,
}

impl RestSettings {
    /// The address in the member key.
    pub fn api_url(&self) -> String {
        let Endpoint { host, port } = &self.connect;
        if host.contains(':') { format!("http://[{host}]:{port}/patroni") } else { format!("http://{host}:{port}/patroni") }
    }
}

/// What a new cluster is made from.
#[derive(Clone, Debug)]
pub struct BootstrapSettings {
    /// `bootstrap.dcs` as written; the first value of the key `config`.
    pub dcs: Value,
    /// The same, understood.
    pub dynamic: DynamicConfig,
    /// Options of initdb without the leading dashes: `data-checksums`, `encoding=UTF8`.
    pub initdb: Vec<String>,
    /// `bootstrap.pg_hba`: lines for a new cluster when nothing else says anything.
    pub pg_hba: Vec<String>,
}

/// This node's PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Addresses it listens on; `*` for all.
    pub listen: Vec<String>,
    /// Its port.
    pub port: u16,
    /// Where others reach it.
    pub connect: Endpoint,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where PostgreSQL's programs are.
    pub bin_dir: PathBuf,
    /// Where postgresql.conf lives.
    pub config_dir: PathBuf,
    /// `postgresql.pgpass`; `None`: a file in the state directory.
    pub pgpass: Option<PathBuf>,
    /// The directory of the Unix socket that the agent uses: the first of `unix_socket_directories`, else the state directory.
    pub socket_dir: PathBuf,
    /// Users.
    pub superuser: Credentials,
    /// For walreceivers and pg_basebackup.
    pub replication: Credentials,
    /// For pg_rewind; `None`: the superuser.
    pub rewind: Option<Credentials>,
    /// This node's own parameters; they win over the dynamic ones.
    pub parameters: BTreeMap<String, String>,
    /// This node's own lines of pg_hba.conf; empty: none of its own.
    pub pg_hba: Vec<String>,
    /// This node's own lines of pg_ident.conf; empty: none of its own.
    pub pg_ident: Vec<String>,
    /// Options of pg_basebackup without the leading dashes.
    pub basebackup: Vec<String>,
    /// `use_pg_rewind` of this node; `None`: the cluster's.
    pub use_pg_rewind: Option<bool>,
    /// `remove_data_directory_on_rewind_failure` of this node.
    pub remove_on_rewind_failure: Option<bool>,
    /// `remove_data_directory_on_diverged_timelines` of this node.
    pub remove_on_diverged_timelines: Option<bool>,
    /// Scripts.
    pub callbacks: Callbacks,
}

impl PostgresSettings {
    /// Parameters in force: this node's own over the cluster's.
    pub fn effective_parameters(&self, dynamic: &DynamicPostgresql) -> BTreeMap<String, String> {
        let mut parameters = dynamic.parameters.clone();
        parameters.extend(self.parameters.iter().map(|(name, value)| (name.clone(), value.clone())));
        parameters
    }

    /// What becomes of diverged data: this node's own word over the cluster's.
    pub fn effective_diverged(&self, dynamic: &DynamicPostgresql) -> Diverged {
        let Diverged { rewind, copy, copy_after_failure } = dynamic.diverged();
        Diverged {
            rewind: self.use_pg_rewind.unwrap_or(rewind),
            copy: self.remove_on_diverged_timelines.unwrap_or(copy),
            copy_after_failure: self.remove_on_rewind_failure.unwrap_or(copy_after_failure),
        }
    }

    /// Lines of pg_hba.conf in force: this node's own, else the cluster's, else those of the bootstrap.
    pub fn effective_pg_hba<'a>(&'a self, dynamic: &'a DynamicPostgresql, bootstrap: &'a BootstrapSettings) -> &'a [String] {
        let candidates: [&'a [String]; 2] = [&self.pg_hba, &dynamic.pg_hba];
        candidates.into_iter().find(|lines| !lines.is_empty()).unwrap_or(&bootstrap.pg_hba)
    }

    /// Lines of pg_ident.conf in force: this node's own, else the cluster's.
    pub fn effective_pg_ident<'a>(&'a self, dynamic: &'a DynamicPostgresql) -> &'a [String] {
        if self.pg_ident.is_empty() { &dynamic.pg_ident } else { &self.pg_ident }
    }
}

/// Scripts as in Patroni: a command line each, to which action, role and scope are appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the callback it is named after")]
pub struct Callbacks {
    pub on_start: Option<String>,
    pub on_stop: Option<String>,
    pub on_restart: Option<String>,
    pub on_reload: Option<String>,
    pub on_role_change: Option<String>,
}

/// The watchdog device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogSettings {
    /// Whether it is used.
    pub mode: WatchdogMode,
    /// The device.
    pub device: PathBuf,
}

/// Whether a watchdog is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchdogMode {
    /// Never.
    Off,
    /// Where there is one.
    #[default]
    Automatic,
}

/// When the storage of the data directory counts as broken, or full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// How long a small write may take; `None`: for ever.
    pub timeout: Option<Duration>,
    /// With less room than this it is full, bytes.
    pub minimum_free: u64,
}

/// The DNS connection point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Where it listens, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Where others reach it: its addresses as a name server of the zone. Empty only where `nameservers` name others.
    pub advertised: Vec<IpAddr>,
    /// The zone, without the dot at its end.
    pub zone: String,
    /// Time to live of the names that follow the primary, seconds.
    pub ttl: u32,
    /// The zone's name servers; empty: the server names itself.
    pub nameservers: Vec<NameServerSetting>,
    /// The zone's SOA record.
    pub soa: SoaSettings,
}

/// A name server of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServerSetting {
    /// Its name.
    pub name: String,
    /// Its addresses, where the zone itself must give them.
    pub addresses: Vec<IpAddr>,
}

/// What the SOA record says besides names and serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoaSettings {
    /// Mailbox of who is responsible, as a domain name or an address; `None`: `hostmaster` in the zone.
    pub mailbox: Option<String>,
    /// How often secondaries ask, seconds.
    pub refresh: u32,
    /// How often they ask again when nobody answered.
    pub retry: u32,
    /// When they give the zone up.
    pub expire: u32,
    /// How long "no such name" may be remembered.
    pub minimum: u32,
}

/// A plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSetting {
    /// Its name on this node.
    pub name: String,
    /// Its component.
    pub source: PluginSource,
    /// Its digest, 64 hexadecimal digits in small letters; only a component that has it is loaded.
    pub sha256: Option<String>,
    /// Its own configuration, as written.
    pub config: Value,
    /// What it may do.
    pub grants: PluginGrants,
    /// Its limits, where they differ from the defaults.
    pub limits: PluginLimits,
    /// Effects are checked and told, and not carried out.
    pub dry_run: bool,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// Built into tanist.
    Builtin(String),
    /// A file.
    File(PathBuf),
}

/// What a plugin may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginGrants {
    /// It may ask for epoch and lease.
    pub leadership: bool,
    /// It may read and move these names.
    pub dns: Vec<DnsGrantSetting>,
    /// It may have requests sent to these places.
    pub http: Vec<HttpGrantSetting>,
}

/// A place that requests may go to, and what is added to them on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrantSetting {
    /// Scheme, host, port and the beginning of the path.
    pub url: Url,
    /// The methods, in capital letters.
    pub methods: Vec<String>,
    /// The only addresses its name may lead to; empty: any but those reserved for the machine or its link.
    pub addresses: Vec<IpAddr>,
    /// Headers, credentials among them.
    pub headers: Vec<(String, Secret)>,
    /// The key that requests are signed with.
    pub signing_key: Option<Secret>,
    /// The certificates (PEM) of the authorities that are believed; `None`: the system's.
    pub ca: Option<Vec<u8>>,
}

/// Names in one zone of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsGrantSetting {
    /// The zone's primary server.
    pub server: SocketAddr,
    /// The zone, without the dot at its end.
    pub zone: String,
    /// The names, without the dot at their end; `*.` and a suffix for everything below it.
    pub names: Vec<String>,
    /// The only addresses a name may be given; empty: any.
    pub addresses: Vec<IpAddr>,
    /// The key that updates are signed with.
    pub tsig_key: Option<TsigKeySetting>,
}

/// A TSIG key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsigKeySetting {
    /// Its name, without the dot at its end.
    pub name: String,
    /// `hmac-sha256`, …
    pub algorithm: String,
    /// Its bytes, in Base64.
    pub secret: Secret,
}

/// Limits of a plugin; `None`: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginLimits {
    /// Memory, bytes.
    pub memory: Option<u64>,
    /// Processor time of a call, milliseconds.
    pub cpu_ms: Option<u32>,
    /// Duration of a call, milliseconds.
    pub wall_ms: Option<u32>,
    /// What it may log in a call, bytes.
    pub log: Option<u64>,
}
