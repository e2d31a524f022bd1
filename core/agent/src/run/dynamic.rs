//! The dynamic configuration: `/config` in the store, before there is one `bootstrap.dcs`; and this node's own file, read again when
//! somebody asks for it. What cannot be read is reported and the last good one stays in force.

use super::compose;
use crate::{
    config::{Environment, Loaded, Settings, load},
    execute::Tools,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tanist_engine::Policy;
use tanist_patroni::dynamic::DynamicConfig;

/// In the state directory: the last value of `/config` that could be read. An agent that starts while the store does not answer, or has
/// something there that nobody can read, goes on with it.
const KEPT: &str = "dynamic.json";

/// Where this node's settings come from.
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// What lies over it.
    pub environment: Environment,
}

/// The configuration in force.
pub struct Dynamic {
    settings: Arc<Settings>,
    source: Source,
    bytes: Option<Vec<u8>>,
    in_force: DynamicConfig,
}

impl Dynamic {
    /// Begins with what an agent before this one last read, for the cluster whose data are here; else with `bootstrap.dcs`.
    pub fn new(settings: Arc<Settings>, source: Source) -> Self {
        let known = settings.postgres.data_dir.join("PG_VERSION").exists();
        let kept = known.then(|| std::fs::read(settings.state_dir.join(KEPT)).ok()).flatten();
        let kept = kept.and_then(|bytes| DynamicConfig::decode(&bytes).ok()).map(|(config, _)| config);
        let in_force = kept.unwrap_or_else(|| settings.bootstrap.dynamic.clone());
        Self { settings, source, bytes: None, in_force }
    }

    /// The rules in force.
    pub fn policy(&self) -> Policy {
        let mut policy = self.in_force.policy(self.settings.engine_tags);
        policy.diverged = self.settings.postgres.effective_diverged(&self.in_force.postgresql);
        policy
    }

    /// PostgreSQL's settings in force.
    pub fn postgres(&self) -> tanist_postgres::Settings {
        compose::postgres_settings(&self.settings, &self.in_force)
    }

    /// All of it.
    pub fn in_force(&self) -> &DynamicConfig {
        &self.in_force
    }

    /// Takes the store's value in; the new rules when it changed.
    pub fn learn(&mut self, config: Option<&[u8]>, tools: &Tools) -> Option<Policy> {
        let config = config?;
        if self.bytes.as_deref() == Some(config) {
            return None;
        }
        self.bytes = Some(config.to_owned());
        match DynamicConfig::decode(config) {
            Ok((read, notes)) => {
                for note in notes {
                    tracing::warn!(option = note.option(), "/config: {}", note.remark());
                }
                tools.live.unreadable(None);
                keep(&self.settings.state_dir, config);
                self.in_force = read;
                let policy = self.policy();
                tools.keeper.set_ttl(policy.ttl);
                tools.live.want(self.postgres());
                tools.slots.configure(&self.in_force);
                tracing::info!(ttl = ?policy.ttl, synchronous = ?policy.synchronous, "dynamic configuration in force");
                Some(policy)
            }
            Err(error) => {
                tools.live.unreadable(Some(format!("/config cannot be read: {error}; what was in force stays in force")));
                None
            }
        }
    }

    /// Reads this node's file again: PostgreSQL's parameters and rules, and the tags. Anything else needs a new start, which is said.
    pub fn reload(&mut self, tools: &Tools) -> Option<Policy> {
        let Loaded { settings: read, notes } = match load(&self.source.file, &self.source.environment) {
            Ok(loaded) => loaded,
            Err(errors) => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let why = format!("not reloaded, what was in force stays in force: {}", lines.join("; "));
                tools.live.file_unreadable(Some(why));
                return None;
            }
        };
        tools.live.file_unreadable(None);
        for note in notes {
            tracing::warn!("{}: {note}", note.severity);
        }
        let mut taken = (*self.settings).clone();
        taken.postgres.parameters = read.postgres.parameters.clone();
        taken.postgres.pg_hba = read.postgres.pg_hba.clone();
        taken.postgres.pg_ident = read.postgres.pg_ident.clone();
        (taken.tags, taken.engine_tags) = (read.tags.clone(), read.engine_tags);
        // The rules of a cluster that exists are in the store.
        taken.bootstrap = read.bootstrap.clone();
        if format!("{taken:?}") != format!("{read:?}") {
            tracing::warn!(
                "{}: only postgresql.parameters, pg_hba, pg_ident and tags are taken over now, the rest at the next start of the agent",
                self.source.file.display()
            );
        }
        tools.set_tags(taken.tags.clone());
        self.settings = Arc::new(taken);
        tools.live.want(self.postgres());
        tracing::info!("the configuration file was read again");
        Some(self.policy())
    }
}

/// Keeps the value, on a thread of its own: a stalled disk holds nobody up.
fn keep(state_dir: &Path, config: &[u8]) {
    let (path, config) = (state_dir.join(KEPT), config.to_owned());
    tokio::task::spawn_blocking(move || {
        let new = path.with_extension("json.new");
        if let Err(error) = std::fs::write(&new, config).and_then(|()| std::fs::rename(&new, &path)) {
            tracing::warn!("{}: {error}", path.display());
        }
    });
}
