//! The dynamic configuration: `/config` in the store, before there is one `bootstrap.dcs`. A value that cannot be read is reported and
//! the last good one stays in force.

use super::compose;
use crate::{config::Settings, execute::Tools};
use std::sync::Arc;
use tanist_engine::Policy;
use tanist_patroni::dynamic::DynamicConfig;

/// The configuration in force.
pub struct Dynamic {
    settings: Arc<Settings>,
    bytes: Option<Vec<u8>>,
    in_force: DynamicConfig,
}

impl Dynamic {
    /// Begins with `bootstrap.dcs`.
    pub fn new(settings: Arc<Settings>) -> Self {
        let in_force = settings.bootstrap.dynamic.clone();
        Self { settings, bytes: None, in_force }
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
                self.in_force = read;
                let policy = self.policy();
                tools.keeper.set_ttl(policy.ttl);
                tools.postgres.configure(self.postgres());
                tools.slots.configure(&self.in_force);
                tracing::info!(ttl = ?policy.ttl, synchronous = ?policy.synchronous, "dynamic configuration in force");
                Some(policy)
            }
            Err(error) => {
                tracing::error!(%error, "/config cannot be read; what was in force stays in force");
                None
            }
        }
    }
}
