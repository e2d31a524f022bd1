//! What the broker is composed of.

use crate::{
    DnsUpdater, Grants, HttpSender, Manifest, Runs,
    protocol::{Digest, PluginId, Source},
};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use tanist_engine::MemberName;

/// Everything the broker needs to know.
#[derive(Clone)]
pub struct BrokerConfig {
    /// The cluster's name.
    pub cluster: String,
    /// This node.
    pub node: MemberName,
    /// How to start the plugin host.
    pub host: HostCommand,
    /// Where the journals are kept; made if it is not there.
    pub journal_dir: PathBuf,
    /// The plugins.
    pub plugins: Vec<PluginConfig>,
    /// Carries out claims of DNS names; `None`: they are answered "unavailable".
    pub dns: Option<Arc<dyn DnsUpdater>>,
    /// Sends requests; `None`: they are answered "unavailable".
    pub http: Option<Arc<dyn HttpSender>>,
    /// Times that are only changed by tests.
    pub tuning: Tuning,
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("node", &self.node)
            .field("host", &self.host)
            .field("plugins", &self.plugins)
            .finish_non_exhaustive()
    }
}

/// How the plugin host is started. Its environment is empty but for what is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// User and group it runs as; needs root.
    pub run_as: Option<(u32, u32)>,
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfig {
    /// Its id in the configuration; also the name of its journal.
    pub id: PluginId,
    /// The component.
    pub source: Source,
    /// Its digest, pinned by the operator.
    pub sha256: Option<Digest>,
    /// What the author asks for.
    pub manifest: Manifest,
    /// What the operator grants.
    pub grants: Grants,
    /// The plugin's own configuration.
    pub config: Vec<(String, String)>,
    /// Claims are checked and told, and not carried out.
    pub dry_run: bool,
}

impl PluginConfig {
    /// How long a call may take while a lease lasts for `ttl`. A claim needs more lease than its call has time: a leader's call as long as
    /// the lease could never claim anything.
    pub(crate) fn wall(&self, ttl: Duration) -> Duration {
        match self.manifest.runs {
            Runs::Node => self.manifest.wall,
            Runs::Leader => self.manifest.wall.min(ttl / 2),
        }
    }
}

/// Times of the broker's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Between two pings while nothing is called.
    pub idle_ping: Duration,
    /// Between two pings while something is called.
    pub busy_ping: Duration,
    /// A host that says nothing for so long is killed.
    pub silence: Duration,
    /// A call ends here so long after the host should have ended it.
    pub wall_slack: Duration,
    /// Delay before the first new start of a dead host; doubles up to `restart_cap` while it keeps dying young.
    pub restart_first: Duration,
    /// Longest delay before a new start.
    pub restart_cap: Duration,
    /// Delay before the first new attempt of a failed call; doubles up to `retry_cap`.
    pub retry_first: Duration,
    /// Longest delay between attempts while the breaker is closed.
    pub retry_cap: Duration,
    /// So many failures in a row open the breaker.
    pub breaker_after: u32,
    /// Delay between attempts while it is open.
    pub breaker_delay: Duration,
    /// Every delay between attempts is shortened by up to so many percent, by chance.
    pub jitter: u32,
    /// A journal that takes longer to write holds up nothing any more.
    pub journal_patience: Duration,
    /// A journal that could not be written is tried again after this.
    pub journal_retry: Duration,
    /// A plugin waits so long for those that it comes after.
    pub order_patience: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            idle_ping: Duration::from_secs(2),
            busy_ping: Duration::from_millis(100),
            silence: Duration::from_millis(500),
            wall_slack: Duration::from_millis(20),
            restart_first: Duration::from_millis(50),
            restart_cap: Duration::from_secs(10),
            retry_first: Duration::from_millis(200),
            retry_cap: Duration::from_secs(5),
            breaker_after: 8,
            breaker_delay: Duration::from_secs(30),
            jitter: 25,
            journal_patience: Duration::from_millis(250),
            journal_retry: Duration::from_secs(5),
            order_patience: Duration::from_secs(10),
        }
    }
}
