//! The link to plugins and to Patroni's callback scripts. Nothing here waits for either.

use super::{manifests, requests::Requests, scripts::Scripts, updater::Updater};
use crate::config::{DnsGrantSetting, PluginLimits, PluginSetting, PluginSource, Settings};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tanist_broker::{
    Broker, BrokerConfig, BrokerError, BrokerHandle, BrokerStatus, ClusterFace, DEFAULT_CPU_MS, DEFAULT_LOG_KIB,
    DEFAULT_MEMORY_MIB, DEFAULT_WALL_MS, DnsGrant, EmissionContext, Grants, HostCommand, Leadership, Manifest, ManifestError,
    PluginConfig, Tuning,
    protocol::{Digest, PluginId, Source},
};
use tanist_engine::{Emission, Epoch, Lease, Lsn, Observation, Postgres, Role, ServerRole, Timeline};

/// The agent's end.
#[derive(Clone)]
pub struct PluginsLink {
    broker: Option<BrokerHandle>,
    scripts: Scripts,
}

/// Why plugins cannot be run as configured.
#[derive(Debug, thiserror::Error)]
pub enum PluginsError {
    /// A manifest.
    #[error("plugins.{plugin}: {path}: {error}")]
    Manifest {
        /// Of which plugin.
        plugin: String,
        /// Which file.
        path: String,
        /// What is wrong.
        error: ManifestError,
    },
    /// A manifest that asks for more than every plugin has, and the operator has not said how much it may have.
    #[error(
        "plugins.{plugin}: {manifest}: limits.{key} is {asked}, more than the {usual} that every plugin has; \
         to allow it, add to the configuration: plugins.{plugin}.limits.{remedy}"
    )]
    Limit {
        /// Of which plugin.
        plugin: String,
        /// Which manifest.
        manifest: String,
        /// What it asks for more of.
        key: &'static str,
        /// How much.
        asked: u64,
        /// What needs no permission.
        usual: u64,
        /// The line that allows it.
        remedy: String,
    },
    /// There is no such guest.
    #[error("plugins.{plugin}.component: there is no builtin:{builtin}; known: builtin:dns-update, builtin:notify")]
    Builtin {
        /// Of which plugin.
        plugin: String,
        /// What was asked for.
        builtin: String,
    },
    /// A file cannot be read.
    #[error("plugins.{plugin}.component: {path}: {error}")]
    Component {
        /// Of which plugin.
        plugin: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A key.
    #[error("plugins.{plugin}.grants.dns.tsig_key: {error}")]
    Key {
        /// Of which plugin.
        plugin: String,
        /// What is wrong.
        error: tanist_dns::update::KeyError,
    },
    /// What is added to requests.
    #[error("plugins.{plugin}.grants.http: {error}")]
    Access {
        /// Of which plugin.
        plugin: String,
        /// What is wrong.
        error: tanist_http::AccessError,
    },
    /// The broker.
    #[error("{0}")]
    Broker(#[from] BrokerError),
}

impl PluginsLink {
    /// Starts the broker where plugins are configured. `host` is the program `tanist-plugin-host`.
    pub fn start(settings: &Settings, host: &Path) -> Result<Self, PluginsError> {
        let scripts = Scripts::start(settings.postgres.callbacks.clone(), settings.cluster.scope.clone());
        if settings.plugins.is_empty() {
            return Ok(Self { broker: None, scripts });
        }
        let (mut updater, mut requests) = (Updater::new(settings.name.to_string()), Requests::default());
        let configured = |plugin| configured(plugin, &mut updater, &mut requests);
        let plugins = settings.plugins.iter().map(configured).collect::<Result<_, _>>()?;
        let cache = settings.state_dir.join("plugins/cache");
        let broker = Broker::spawn(BrokerConfig {
            cluster: settings.cluster.scope.clone(),
            node: settings.name.clone(),
            host: HostCommand {
                program: host.to_owned(),
                args: Vec::new(),
                env: vec![("TANIST_PLUGIN_CACHE".into(), cache.display().to_string())],
                run_as: None,
            },
            journal_dir: settings.state_dir.join("plugins"),
            plugins,
            dns: Some(Arc::new(updater)),
            http: Some(Arc::new(requests)),
            tuning: Tuning::default(),
        })?;
        Ok(Self { broker: Some(broker), scripts })
    }

    /// A callback to deliver.
    pub fn emit(&self, emission: Emission, seen: &Observation, cause: String) {
        self.scripts.run(emission.callback, emission.role);
        if let Some(broker) = &self.broker {
            let (timeline, lsn) = position(&seen.postgres);
            broker.emit(EmissionContext { face: face(seen, emission.role), emission, timeline, lsn, cause });
        }
    }

    /// The cluster looks like this now. `ttl` is the one in force: it bounds how long a claim may take.
    pub fn show(&self, seen: &Observation, role: Role, ttl: Duration) {
        let Some(broker) = &self.broker else { return };
        let (epoch, lease_until) = match &seen.lease {
            Lease::Mine(held) => (held.epoch, Some(held.until)),
            other => (known_epoch(other), None),
        };
        broker.leadership(Leadership { epoch, lease_until, ttl });
        broker.face(face(seen, role));
    }

    /// Plugins, host and ledger.
    pub fn status(&self) -> Option<Arc<BrokerStatus>> {
        self.broker.as_ref().map(|broker| broker.watch().borrow().clone())
    }

    /// Lets waiting events be delivered for at most `grace`, then ends the host.
    pub async fn shutdown(&self, grace: Duration) {
        self.scripts.settle(grace).await;
        if let Some(broker) = &self.broker {
            broker.shutdown(grace).await;
        }
    }
}

fn known_epoch(lease: &Lease) -> Epoch {
    match lease {
        Lease::Mine(held) => held.epoch,
        Lease::Theirs(theirs) => theirs.epoch,
        Lease::Vacant { last_epoch, .. } => *last_epoch,
        Lease::Unknown => Epoch::NONE,
    }
}

fn face(seen: &Observation, role: Role) -> ClusterFace {
    let leader = match &seen.lease {
        Lease::Mine(_) => Some(seen.me.clone()),
        Lease::Theirs(theirs) => Some(theirs.holder.clone()),
        Lease::Vacant { .. } | Lease::Unknown => None,
    };
    ClusterFace {
        epoch: known_epoch(&seen.lease),
        leader,
        primary: seen.store.primary.clone(),
        role,
        members: seen.store.members.clone(),
        lsn: seen.store.optime,
    }
}

fn position(postgres: &Postgres) -> (Option<Timeline>, Option<Lsn>) {
    let position = match postgres {
        Postgres::Running(running) => match &running.role {
            ServerRole::Primary { position, .. } => Some(*position),
            ServerRole::Standby { position, .. } => *position,
        },
        Postgres::Stopped(stopped) => Some(stopped.position),
        _ => None,
    };
    (position.map(|position| position.timeline), position.map(|position| position.lsn))
}

/// One plugin in the broker's form. Its keys and credentials go to those who use them; the plugin gets their names at most.
fn configured(plugin: &PluginSetting, updater: &mut Updater, requests: &mut Requests) -> Result<PluginConfig, PluginsError> {
    let PluginSetting { name, source, sha256, config, grants, limits, dry_run } = plugin;
    let (source, mut manifest) = match source {
        PluginSource::Builtin(builtin) => (Source::Builtin(builtin.clone()), manifests::builtin(name, builtin)?),
        PluginSource::File(path) => (Source::Path(path.clone()), manifests::beside(name, path)?),
    };
    check_limits(plugin, &manifest)?;
    limit(&mut manifest, limits);
    let mut dns = Vec::new();
    for grant in &grants.dns {
        let DnsGrantSetting { server, zone, names, addresses, tsig_key } = grant;
        if let Some(key) = tsig_key {
            updater.key(key).map_err(|error| PluginsError::Key { plugin: name.clone(), error })?;
        }
        dns.push(DnsGrant {
            server: server.to_string(),
            zone: zone.clone(),
            names: names.clone(),
            key: tsig_key.as_ref().map(|key| key.name.clone()),
            addresses: addresses.clone(),
        });
    }
    let mut http = Vec::new();
    for (index, setting) in grants.http.iter().enumerate() {
        let granted = requests.grant(format!("{name}/{index}"), setting);
        http.push(granted.map_err(|error| PluginsError::Access { plugin: name.clone(), error })?);
    }
    Ok(PluginConfig {
        id: PluginId(name.clone()),
        source,
        sha256: sha256.as_deref().and_then(Digest::from_hex),
        manifest,
        grants: Grants { leadership: grants.leadership, dns, http },
        config: texts(config),
        dry_run: *dry_run,
    })
}

/// It is the operator's machine: what a manifest asks for beyond the usual, the configuration has to name.
fn check_limits(plugin: &PluginSetting, manifest: &Manifest) -> Result<(), PluginsError> {
    let PluginLimits { memory, cpu_ms, wall_ms, log } = &plugin.limits;
    let (cpu, wall) = (millis(manifest.cpu), millis(manifest.wall));
    let (mib, kib) = (manifest.limits.memory_bytes >> 20, u64::from(manifest.limits.log_bytes >> 10));
    let asked = [
        ("memory_mib", mib, DEFAULT_MEMORY_MIB, memory.is_some(), format!("memory: {mib}MB")),
        ("cpu_ms", cpu, DEFAULT_CPU_MS, cpu_ms.is_some(), format!("cpu: {cpu}ms")),
        ("wall_ms", wall, DEFAULT_WALL_MS, wall_ms.is_some(), format!("wall: {wall}ms")),
        ("log_kib", kib, DEFAULT_LOG_KIB, log.is_some(), format!("log: {kib}kB")),
    ];
    match asked.into_iter().find(|(_, asked, usual, allowed, _)| asked > usual && !allowed) {
        None => Ok(()),
        Some((key, asked, usual, _, remedy)) => {
            let manifest = match &plugin.source {
                PluginSource::Builtin(builtin) => format!("the manifest of builtin:{builtin}"),
                PluginSource::File(path) => format!("the manifest beside {}", path.display()),
            };
            Err(PluginsError::Limit { plugin: plugin.name.clone(), manifest, key, asked, usual, remedy })
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The operator's word counts, whatever the manifest asks for.
fn limit(manifest: &mut Manifest, limits: &PluginLimits) {
    if let Some(memory) = limits.memory {
        manifest.limits.memory_bytes = memory;
    }
    if let Some(log) = limits.log {
        manifest.limits.log_bytes = u32::try_from(log).unwrap_or(u32::MAX);
    }
    manifest.cpu = limits.cpu_ms.map_or(manifest.cpu, |limit| Duration::from_millis(limit.into()));
    manifest.wall = limits.wall_ms.map_or(manifest.wall, |limit| Duration::from_millis(limit.into()));
}

/// A plugin's configuration as pairs of text; nested values are given as JSON.
fn texts(config: &serde_json::Value) -> Vec<(String, String)> {
    let serde_json::Value::Object(map) = config else { return Vec::new() };
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    map.iter().map(|(key, value)| (key.clone(), text(value))).collect::<BTreeMap<_, _>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PluginGrants;

    /// A plugin whose manifest has these limits.
    fn plugin(directory: &Path, limits: &str) -> PluginSetting {
        let component = directory.join("herald.wasm");
        std::fs::write(&component, "").unwrap();
        let manifest = format!("id = \"herald\"\nversion = \"1\"\napi = \"tanist:plugin@0.1.0\"\n[limits]\n{limits}\n");
        std::fs::write(directory.join("herald.toml"), manifest).unwrap();
        PluginSetting {
            name: "herald".to_owned(),
            source: PluginSource::File(component),
            sha256: None,
            config: serde_json::Value::Null,
            grants: PluginGrants::default(),
            limits: PluginLimits::default(),
            dry_run: false,
        }
    }

    fn taken(plugin: &PluginSetting) -> Result<PluginConfig, PluginsError> {
        configured(plugin, &mut Updater::new("n1".to_owned()), &mut Requests::default())
    }

    #[test]
    fn more_than_every_plugin_has_is_refused_with_the_line_that_allows_it() {
        let directory = tempfile::tempdir().unwrap();
        for (asked, line) in [
            (
                "memory_mib = 65",
                "limits.memory_mib is 65, more than the 64 that every plugin has; to allow it, add to the configuration: \
                                 plugins.herald.limits.memory: 65MB",
            ),
            ("cpu_ms = 201", "plugins.herald.limits.cpu: 201ms"),
            ("wall_ms = 5001", "plugins.herald.limits.wall: 5001ms"),
            ("log_kib = 65", "plugins.herald.limits.log: 65kB"),
        ] {
            let error = taken(&plugin(directory.path(), asked)).unwrap_err().to_string();
            assert!(error.contains("herald.wasm") && error.ends_with(line), "{error}");
        }
        assert!(taken(&plugin(directory.path(), "memory_mib = 64\ncpu_ms = 200\nwall_ms = 5000\nlog_kib = 64")).is_ok());
    }

    #[test]
    fn what_the_operator_says_counts() {
        let directory = tempfile::tempdir().unwrap();
        let mut plugin = plugin(directory.path(), "memory_mib = 4096\nwall_ms = 60000");
        plugin.limits = PluginLimits { memory: Some(128 << 20), wall_ms: Some(10_000), ..PluginLimits::default() };
        let manifest = taken(&plugin).unwrap().manifest;
        assert_eq!((manifest.limits.memory_bytes, manifest.wall), (128 << 20, Duration::from_secs(10)));
    }
}
