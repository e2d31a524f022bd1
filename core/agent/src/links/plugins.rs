//! The link to plugins and to Patroni's callback scripts. Nothing here waits for either.

use super::{manifests, requests::Requests, scripts::Scripts, updater::Updater};
use crate::config::{DnsGrantSetting, PluginSetting, PluginSource, Settings};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tanist_broker::{
    Broker, BrokerConfig, BrokerError, BrokerHandle, BrokerStatus, ClusterFace, DnsGrant, EmissionContext, Grants, HostCommand,
    Leadership, ManifestError, PluginConfig, Tuning,
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
    /// Starts the broker where plugins are configured. `host` is the program `tanist-plugin-host`; `ttl` bounds how long a claim may take.
    pub fn start(settings: &Settings, host: &Path, ttl: Duration) -> Result<Self, PluginsError> {
        let scripts = Scripts::start(settings.postgres.callbacks.clone(), settings.cluster.scope.clone());
        if settings.plugins.is_empty() {
            return Ok(Self { broker: None, scripts });
        }
        let (mut updater, mut requests) = (Updater::new(settings.name.to_string()), Requests::default());
        let configured = |plugin| configured(plugin, ttl, &mut updater, &mut requests);
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

    /// The cluster looks like this now.
    pub fn show(&self, seen: &Observation, role: Role) {
        let Some(broker) = &self.broker else { return };
        let (epoch, lease_until) = match &seen.lease {
            Lease::Mine(held) => (held.epoch, Some(held.until)),
            other => (known_epoch(other), None),
        };
        broker.leadership(Leadership { epoch, lease_until });
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
fn configured(
    plugin: &PluginSetting,
    ttl: Duration,
    updater: &mut Updater,
    requests: &mut Requests,
) -> Result<PluginConfig, PluginsError> {
    let PluginSetting { name, source, sha256, config, grants, limits, dry_run } = plugin;
    let (source, mut manifest) = match source {
        PluginSource::Builtin(builtin) => (Source::Builtin(builtin.clone()), manifests::builtin(name, builtin)?),
        PluginSource::File(path) => (Source::Path(path.clone()), manifests::beside(name, path)?),
    };
    if let Some(memory) = limits.memory {
        manifest.limits.memory_bytes = memory;
    }
    if let Some(log) = limits.log {
        manifest.limits.log_bytes = u32::try_from(log).unwrap_or(u32::MAX);
    }
    manifest.cpu = limits.cpu_ms.map_or(manifest.cpu, |limit| Duration::from_millis(limit.into()));
    manifest.wall = limits.wall_ms.map_or(manifest.wall, |limit| Duration::from_millis(limit.into()));
    if manifest.runs == tanist_broker::Runs::Leader {
        // A claim needs more lease than its call has time: a call as long as the lease could never claim anything.
        manifest.wall = manifest.wall.min(ttl / 2);
    }
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

/// A plugin's configuration as pairs of text; nested values are given as JSON.
fn texts(config: &serde_json::Value) -> Vec<(String, String)> {
    let serde_json::Value::Object(map) = config else { return Vec::new() };
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    map.iter().map(|(key, value)| (key.clone(), text(value))).collect::<BTreeMap<_, _>>().into_iter().collect()
}
