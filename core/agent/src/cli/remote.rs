//! What commands about a running cluster share: the configuration that leads to its store, and its members.

use super::{Failure, run::environment};
use crate::{
    cluster::{self, ViewReader},
    config::{ClusterSettings, load_cluster},
};
use clap::{Args, ValueEnum};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tanist_dcs::{Clock, Keys, Mirror, Snapshot};
use tanist_engine::{MemberName, StoreView};
use tanist_patroni::{
    RestartReason,
    dcs::MemberKey,
    dynamic::{DynamicConfig, SynchronousMode},
};

/// The store must have answered by then.
const LIMIT: Duration = Duration::from_secs(5);

/// Arguments of commands that look at a cluster.
#[derive(Args, Clone)]
pub struct Arguments {
    /// Configuration of any node of the cluster
    #[arg(short, long, value_name = "CONFIG")]
    pub config: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
}

/// How tables are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Pretty,
    /// One line per row, columns separated by tabs
    Tsv,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// The cluster as its store shows it now.
pub struct Remote {
    /// What the configuration says.
    pub settings: ClusterSettings,
    /// The keys.
    pub keys: Keys,
    /// Their values.
    pub snapshot: Arc<Snapshot>,
    /// Their meaning.
    pub view: StoreView,
}

impl Remote {
    /// Reads it.
    pub fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let loaded = load_cluster(&arguments.config, &environment()).map_err(Failure::unusable)?;
        let settings = loaded.settings;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
        let keys = Keys::new(&settings.namespace, &settings.scope);
        let snapshot = runtime.block_on(async {
            let store = cluster::open(&settings.store).map_err(Failure::config)?;
            let mirror = Mirror::spawn(store, keys.prefix().to_owned(), Clock::system(), LIMIT);
            let mut snapshots = mirror.subscribe();
            let read = tokio::time::timeout(LIMIT, snapshots.wait_for(|snapshot| snapshot.as_of.is_some())).await;
            match read {
                Ok(Ok(snapshot)) => Ok(snapshot.clone()),
                _ => {
                    let trouble = mirror.snapshot().trouble.as_ref().map_or_else(|| "no answer".to_owned(), ToString::to_string);
                    Err(Failure::failed(format!("{}: the store: {trouble}", arguments.config.display())))
                }
            }
        })?;
        let view = ViewReader::new(keys.clone()).read(&snapshot);
        if view.members.is_empty() && view.initialize.is_none() {
            return Err(Failure::failed(format!("there is no cluster {} in the store", settings.scope)));
        }
        Ok(Self { settings, keys, snapshot, view })
    }

    /// What of a member waits for a restart, as its key says.
    pub fn waits_for_restart(&self, member: &MemberName) -> RestartReason {
        let key = self.snapshot.get(&self.keys.member(member)).and_then(|key| MemberKey::decode(&key.kv.value).ok());
        key.map(|key| key.pending_restart_reason).unwrap_or_default()
    }

    /// What a standby that `/sync` names is called, by the mode in force.
    pub fn standby_role(&self) -> &'static str {
        let config = self.snapshot.get(&self.keys.config()).and_then(|key| DynamicConfig::decode(&key.kv.value).ok());
        match config.map(|(config, _)| config.synchronous_mode) {
            Some(SynchronousMode::Quorum) => "Quorum Standby",
            _ => "Sync Standby",
        }
    }
}
