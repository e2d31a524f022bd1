//! `plugin.toml`: what the author of a plugin asks for. Nothing here is a grant; the operator's configuration grants.

use crate::protocol::{Action, Import, Limits};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};
use tanist_queue::OnFailure;

/// The interface version this agent speaks.
pub const API: &str = "tanist:plugin@0.1";

/// Largest manifest that is read.
const MAX_MANIFEST: usize = 64 << 10;

/// What a call has, unless the manifest asks for less, or for more and the operator allows it: the machine is not the author's.
pub const DEFAULT_MEMORY_MIB: u64 = 64;
/// The same for computing time.
pub const DEFAULT_CPU_MS: u64 = 200;
/// The same for duration.
pub const DEFAULT_WALL_MS: u64 = 5_000;
/// The same for log, standard output and error.
pub const DEFAULT_LOG_KIB: u64 = 64;

/// Where a plugin acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runs {
    /// On every node, with that node's own callbacks (a virtual address, a local pooler).
    #[default]
    Node,
    /// Only at the lease holder, and only after its endpoint was published (a DNS name, a cloud load balancer).
    Leader,
}

/// A checked manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The plugin's id: lower-case letters, digits, hyphens.
    pub id: String,
    /// The plugin's own version.
    pub version: String,
    /// Where it acts.
    pub runs: Runs,
    /// The callbacks it wants.
    pub events: BTreeSet<Action>,
    /// For a plugin that runs at the leader: it wants to be told to release what a leader held that is gone.
    pub release: bool,
    /// The plugins that are called for an event before it.
    pub after: BTreeSet<String>,
    /// The imports it asks for.
    pub capabilities: BTreeSet<Import>,
    /// Memory and the like.
    pub limits: Limits,
    /// Wall time of a call.
    pub wall: Duration,
    /// Computing time of a call.
    pub cpu: Duration,
    /// Longest time between two reconciles.
    pub interval: Duration,
    /// After a failure.
    pub on_failure: OnFailure,
}

/// Why a manifest was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the TOML we know; the text names line and key.
    #[error("plugin.toml: {0}")]
    Form(#[from] toml::de::Error),
    /// Far too long.
    #[error("plugin.toml is longer than {MAX_MANIFEST} bytes")]
    TooLong,
    /// The id cannot be used.
    #[error("plugin.toml: id {0:?} is not made of 1 to 63 lower-case letters, digits and hyphens")]
    Id(String),
    /// Another interface version.
    #[error("plugin.toml: api is {0:?}, this agent speaks {API:?}; build the plugin for it")]
    Api(String),
    /// A release is done at the leader.
    #[error("plugin.toml: release = true needs runs = \"leader\": only the lease holder releases on behalf of another")]
    Release,
    /// A number outside of what makes sense.
    #[error("plugin.toml: {key} is {value}, must be {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        range: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    id: String,
    version: String,
    api: String,
    #[serde(default)]
    runs: Runs,
    #[serde(default)]
    events: BTreeSet<Action>,
    #[serde(default)]
    release: bool,
    #[serde(default)]
    after: BTreeSet<String>,
    #[serde(default)]
    capabilities: BTreeSet<Import>,
    #[serde(default)]
    limits: FormLimits,
    #[serde(default)]
    reconcile: FormReconcile,
    #[serde(default)]
    failure: FormFailure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FormLimits {
    memory_mib: u64,
    cpu_ms: u64,
    wall_ms: u64,
    log_kib: u64,
    requests: u64,
}

impl Default for FormLimits {
    fn default() -> Self {
        Self {
            memory_mib: DEFAULT_MEMORY_MIB,
            cpu_ms: DEFAULT_CPU_MS,
            wall_ms: DEFAULT_WALL_MS,
            log_kib: DEFAULT_LOG_KIB,
            requests: 1_000,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FormReconcile {
    interval_s: u64,
}

impl Default for FormReconcile {
    fn default() -> Self {
        Self { interval_s: 10 }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FormFailure {
    policy: OnFailure,
}

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLong);
        }
        let Form { id, version, api, runs, events, release, after, capabilities, limits, reconcile, failure } =
            toml::from_str(text)?;
        if !is_id(&id) {
            return Err(ManifestError::Id(id));
        }
        if api != API && !api.strip_prefix(API).is_some_and(|rest| rest.starts_with('.')) {
            return Err(ManifestError::Api(api));
        }
        if release && runs != Runs::Leader {
            return Err(ManifestError::Release);
        }
        let FormLimits { memory_mib, cpu_ms, wall_ms, log_kib, requests } = limits;
        let memory = bounded("limits.memory_mib", memory_mib, 1, 4_096, "1 to 4096")?;
        let cpu = bounded("limits.cpu_ms", cpu_ms, 1, 60_000, "1 to 60000")?;
        let wall = bounded("limits.wall_ms", wall_ms, 1, 600_000, "1 to 600000")?;
        let log = bounded("limits.log_kib", log_kib, 0, 1_024, "0 to 1024")?;
        let requests = bounded("limits.requests", requests, 0, 100_000, "0 to 100000")?;
        let interval = bounded("reconcile.interval_s", reconcile.interval_s, 1, 86_400, "1 to 86400")?;
        Ok(Self {
            id,
            version,
            runs,
            events,
            release,
            after,
            capabilities,
            limits: Limits { memory_bytes: u64::from(memory) << 20, log_bytes: log << 10, requests, ..Limits::default() },
            wall: Duration::from_millis(u64::from(wall)),
            cpu: Duration::from_millis(u64::from(cpu)),
            interval: Duration::from_secs(u64::from(interval)),
            on_failure: failure.policy,
        })
    }
}

/// Whether `id` can be a plugin's id: it is also a file name and a configuration key.
pub fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&id.len()) && id.bytes().all(allowed) && !id.starts_with('-')
}

fn bounded(key: &'static str, value: u64, least: u32, most: u32, range: &'static str) -> Result<u32, ManifestError> {
    u32::try_from(value).ok().filter(|value| (least..=most).contains(value)).ok_or(ManifestError::Range { key, value, range })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
id = "dns-update"
version = "0.1.0"
api = "tanist:plugin@0.1.0"
runs = "leader"
events = ["on_role_change"]
capabilities = ["log", "config", "dns"]
[limits]
memory_mib = 32
[reconcile]
interval_s = 5
"#;

    #[test]
    fn a_manifest_is_read_with_defaults_for_what_it_leaves_out() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.runs, Runs::Leader);
        assert_eq!(manifest.events, BTreeSet::from([Action::OnRoleChange]));
        assert_eq!(manifest.capabilities, BTreeSet::from([Import::Log, Import::Config, Import::Dns]));
        assert_eq!(manifest.limits.memory_bytes, 32 << 20);
        assert_eq!(manifest.wall, Duration::from_secs(5));
        assert_eq!(manifest.interval, Duration::from_secs(5));
        assert_eq!(manifest.on_failure, OnFailure::Retry);
    }

    #[test]
    fn what_it_cannot_mean_is_refused_by_name() {
        let refused = |from: &str, to: &str| Manifest::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
        assert!(refused("tanist:plugin@0.1.0", "tanist:plugin@0.10").contains("this agent speaks"));
        assert!(refused("dns-update", "../dns").contains("lower-case"));
        assert!(refused("memory_mib = 32", "memory_mib = 0").contains("limits.memory_mib"));
        assert!(refused("runs = \"leader\"", "release = true").contains("needs runs"));
        assert!(refused("memory_mib", "memory_gib").contains("memory_gib"));
        assert!(refused("\"dns\"", "\"sockets\"").contains("sockets"));
        assert!(matches!(Manifest::parse(&"#".repeat(MAX_MANIFEST + 1)), Err(ManifestError::TooLong)));
    }

    #[test]
    fn the_bundled_plugins_have_manifests_that_are_read() {
        for id in ["dns-update", "notify"] {
            let path = format!("{}/../{id}/plugin.toml", env!("CARGO_MANIFEST_DIR"));
            let manifest = Manifest::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
            assert_eq!((manifest.id.as_str(), manifest.runs), (id, Runs::Leader));
        }
    }
}
