//! The file as written: every key that is obeyed has a field here, and nothing else has. Types are Patroni's tolerant ones ([`leaf`]);
//! what the values mean is decided in `convert`.

mod http;
mod leaf;
mod ours;
mod postgresql;

pub(super) use http::{BasicSpec, HttpGrantSpec};
pub(super) use leaf::{Flag, List, Number, Options, Text};
pub(super) use ours::{
    DnsGrantSpec, DnsSpec, GrantsSpec, LimitsSpec, LocalSpec, NameServerSpec, OneOrMany, PluginSpec, SoaSpec, StorageSpec,
    TanistSpec, TsigSpec,
};
pub(super) use postgresql::{AuthenticationSpec, CallbacksSpec, PostgresqlSpec, UserSpec};

use super::{
    known,
    report::{ConfigError, Place, Report},
};
use serde::Deserialize;
use serde_ignored::Path;
use serde_json::{Map, Value};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map of sections")]
pub(super) struct Spec {
    pub(super) scope: Option<Text>,
    pub(super) namespace: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) log: Option<LogSpec>,
    pub(super) restapi: Option<RestapiSpec>,
    pub(super) etcd3: Option<EtcdSpec>,
    pub(super) local: Option<LocalSpec>,
    pub(super) bootstrap: Option<BootstrapSpec>,
    pub(super) postgresql: Option<PostgresqlSpec>,
    pub(super) watchdog: Option<WatchdogSpec>,
    pub(super) tags: Option<Map<String, Value>>,
    pub(super) dns: Option<DnsSpec>,
    pub(super) plugins: Option<Vec<PluginSpec>>,
    pub(super) tanist: Option<TanistSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(super) struct LogSpec {
    pub(super) level: Option<Text>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(super) struct RestapiSpec {
    pub(super) listen: Option<Text>,
    pub(super) connect_address: Option<Text>,
    pub(super) authentication: Option<UserSpec>,
    /// Patroni's old form, `user:password`.
    pub(super) auth: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(super) struct EtcdSpec {
    pub(super) host: Option<Text>,
    pub(super) hosts: Option<List>,
    pub(super) url: Option<Text>,
    pub(super) protocol: Option<Text>,
    pub(super) cacert: Option<Text>,
    pub(super) cert: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) username: Option<Text>,
    pub(super) password: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(super) struct BootstrapSpec {
    pub(super) dcs: Option<Value>,
    pub(super) initdb: Option<Options>,
    pub(super) pg_hba: Option<Vec<Text>>,
    pub(super) method: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(super) struct WatchdogSpec {
    /// A bare `off` is a boolean to Patroni's YAML reader.
    pub(super) mode: Option<Value>,
    pub(super) device: Option<Text>,
}

impl Spec {
    /// Reads the text, and reports the keys that no field takes.
    pub(super) fn parse(text: &str, report: &mut Report) -> Result<Self, ConfigError> {
        let mut ignored = Vec::new();
        let reader = serde_norway::Deserializer::from_str(text);
        let spec: Option<Self> =
            serde_ignored::deserialize(reader, |path| ignored.push(dotted(&path))).map_err(|error| type_error(&error, report))?;
        let spec = spec.unwrap_or_default();
        let methods = spec.methods();
        for key in ignored {
            known::report_unread(&key, &methods, report);
        }
        Ok(spec)
    }

    /// Names of custom methods; each has a section of that name.
    fn methods(&self) -> Vec<String> {
        let postgresql =
            self.postgresql.iter().flat_map(|section| [&section.create_replica_methods, &section.create_replica_method]);
        let bootstrap = self.bootstrap.iter().filter_map(|section| section.method.as_ref());
        postgresql.flatten().flatten().chain(bootstrap).map(|Text(name)| name.clone()).collect()
    }
}

/// A path as the YAML reader writes it: `a.b[0].c`.
fn dotted(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Path::Map { parent, key } => match dotted(parent) {
            outer if outer.is_empty() => key.clone(),
            outer => format!("{outer}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => dotted(parent),
    }
}

/// Takes the reader's message apart (`key: problem at line 1 column 2`) and puts it together in our order.
fn type_error(error: &serde_norway::Error, report: &Report) -> ConfigError {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let (key, problem) = match message.split_once(": ") {
        Some((key, problem)) if report.positions().has(key) => (key, problem),
        _ => ("", message),
    };
    let problem = match problem.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("must be {expected}, not {found}"),
        None => problem.to_owned(),
    };
    let line = report.positions().line_of(key).filter(|_| !key.is_empty()).or(error.location().map(|location| location.line()));
    let file = report.file().to_owned();
    let place = line.map_or_else(|| Place::File(file.clone()), |line| Place::Line(file.clone(), line));
    ConfigError { place, key: key.to_owned(), problem }
}
