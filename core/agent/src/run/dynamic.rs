//! The dynamic configuration: `/config` in the store, before there is one `bootstrap.dcs`; and this node's own file, read again when
//! somebody asks for it. What cannot be read is reported and the last good one stays in force.

use super::compose;
use crate::{
    config::{Environment, Loaded, Settings, load},
    execute::Tools,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tanist_engine::Policy;
use tanist_patroni::{
    DecodeError, dcs_text,
    dynamic::{DynamicConfig, DynamicNote},
};

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

/// The last value of `/config` that could be read, of the cluster whose data are here: what its leader puts into a store that has lost
/// it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LastConfig(Arc<Mutex<Option<Vec<u8>>>>);

impl LastConfig {
    fn set(&self, value: &[u8]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.to_owned());
    }

    /// What belongs into `/config` where there is none: of a cluster that is new, `bootstrap.dcs`.
    pub fn or(&self, bootstrap: &Value) -> Vec<u8> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.unwrap_or_else(|| dcs_text(bootstrap).into_bytes())
    }
}

/// The configuration in force.
pub struct Dynamic {
    settings: Arc<Settings>,
    source: Source,
    bytes: Option<Vec<u8>>,
    in_force: DynamicConfig,
    last: LastConfig,
}

impl Dynamic {
    /// Begins with what an agent before this one last read, for the cluster whose data are here; else with `bootstrap.dcs`.
    pub fn new(settings: Arc<Settings>, source: Source) -> Self {
        let known = settings.postgres.data_dir.join("PG_VERSION").exists();
        let kept = known.then(|| std::fs::read(settings.state_dir.join(KEPT)).ok()).flatten();
        let kept = kept.and_then(|bytes| Some((DynamicConfig::decode(&bytes).ok()?.0, bytes)));
        let last = LastConfig::default();
        let in_force = match kept {
            Some((config, bytes)) => {
                last.set(&bytes);
                config
            }
            None => settings.bootstrap.dynamic.clone(),
        };
        Self { settings, source, bytes: None, in_force, last }
    }

    /// What a store that has lost it gets.
    pub fn last(&self) -> LastConfig {
        self.last.clone()
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
        match self.take(config) {
            Ok(notes) => {
                for note in &notes {
                    tracing::warn!(option = note.option(), "/config: {}", note.remark());
                }
                tools.live.unreadable(None);
                tools.live.ignored(not_obeyed(&notes));
                keep(&self.settings.state_dir, config);
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

    /// A value of the store comes into force.
    fn take(&mut self, config: &[u8]) -> Result<Vec<DynamicNote>, DecodeError> {
        let (read, notes) = DynamicConfig::decode(config)?;
        self.last.set(config);
        self.in_force = read;
        Ok(notes)
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

/// What was asked for and does not happen: whoever looks at the cluster shall see it, because somebody may rely on it.
fn not_obeyed(notes: &[DynamicNote]) -> Vec<String> {
    let ignored = notes.iter().filter(|note| match note {
        DynamicNote::Unsupported { .. } | DynamicNote::Unknown { .. } => true,
        DynamicNote::Bent { .. } | DynamicNote::ShortTtl { .. } | DynamicNote::Replaced { .. } => false,
    });
    ignored.map(|note| format!("/config: {note}")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Programs, load_text};
    use std::{collections::BTreeSet, fs};

    const FILE: &str = "\
scope: main
name: a
restapi: {listen: '10.0.0.1:8008'}
local: {socket: /run/tanist/store.sock}
bootstrap: {dcs: {ttl: 7}}
tanist: {state_dir: STATE}
postgresql:
  listen: 10.0.0.1:5432
  data_dir: DATA
  bin_dir: /bin/of/postgresql
  authentication:
    superuser: {username: postgres, password: secret}
    replication: {username: replicator, password: secret}
";

    /// Every directory has PostgreSQL's programs.
    struct Anywhere;

    impl Programs for Anywhere {
        fn executables(&self, _: &Path) -> Option<BTreeSet<String>> {
            let names = ["initdb", "pg_basebackup", "pg_controldata", "pg_ctl", "pg_rewind", "postgres", "psql"];
            Some(names.map(str::to_owned).into())
        }

        fn search(&self) -> Vec<PathBuf> {
            vec!["/bin/of/postgresql".into()]
        }
    }

    fn dynamic(directory: &Path) -> Dynamic {
        let (state, data) = (directory.join("state"), directory.join("data"));
        let text = FILE.replace("STATE", &state.display().to_string()).replace("DATA", &data.display().to_string());
        let loaded = load_text("patroni.yml", &text, &Environment::new(), &Anywhere).expect("a good file");
        Dynamic::new(Arc::new(loaded.settings), Source { file: "patroni.yml".into(), environment: Environment::new() })
    }

    const SYNCHRONOUS: &str = r#"{"ttl":9,"synchronous_mode":true}"#;

    /// A store that was replaced by an empty one must not switch synchronous mode off.
    #[test]
    fn a_store_that_has_lost_it_gets_what_was_in_force() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("state")).unwrap();
        fs::create_dir_all(directory.path().join("data")).unwrap();
        let lost = |dynamic: &Dynamic| String::from_utf8(dynamic.last().or(&dynamic.settings.bootstrap.dcs)).unwrap();
        let mut new = dynamic(directory.path());
        assert_eq!(lost(&new), r#"{"ttl":7}"#, "a cluster that is new has what the file says");
        new.take(SYNCHRONOUS.as_bytes()).unwrap();
        assert_eq!(lost(&new), SYNCHRONOUS);
        new.take(b"{").unwrap_err();
        assert_eq!(lost(&new), SYNCHRONOUS, "the last good one");

        fs::write(directory.path().join("state").join(KEPT), SYNCHRONOUS).unwrap();
        assert_eq!(lost(&dynamic(directory.path())), r#"{"ttl":7}"#, "kept of a cluster whose data are not here");
        fs::write(directory.path().join("data/PG_VERSION"), "15").unwrap();
        let again = dynamic(directory.path());
        assert_eq!(lost(&again), SYNCHRONOUS, "after a restart of the agent");
        assert!(again.policy().synchronous.is_on());
    }

    #[test]
    fn what_does_not_happen_is_complained_about() {
        let directory = tempfile::tempdir().unwrap();
        let mut dynamic = dynamic(directory.path());
        let mut said = |config: &str| not_obeyed(&dynamic.take(config.as_bytes()).unwrap());
        assert_eq!(
            said(r#"{"pause":true}"#),
            ["/config: pause: is not supported by this version of tanist: the cluster is not paused"]
        );
        assert!(said(r#"{"standby_cluster":{"host":"x"}}"#)[0].starts_with("/config: standby_cluster: is not supported"));
        assert!(said(r#"{"synchronous_mod":true}"#)[0].starts_with("/config: synchronous_mod: unknown key"));
        assert!(said(r#"{"pause":false,"ttl":3,"loop_wait":10}"#).is_empty(), "obeyed, or bent");
    }
}
