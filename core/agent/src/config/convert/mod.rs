//! From the file as written to settings that can be obeyed. Each section is a file; each takes its part of the `Spec` apart field by
//! field, so that a new key cannot be forgotten here.
//!
//! A conversion returns `None` only after it has reported why; the others go on, so that one run tells everything.

mod bootstrap;
mod cluster;
mod dns;
mod http;
mod names;
mod plugins;
mod postgresql;
mod rest;
mod storage;
mod store;
mod users;

pub(super) use cluster::cluster;

use super::{
    Programs, Settings, WatchdogMode, WatchdogSettings,
    report::Report,
    spec::{Spec, TanistSpec, Text, WatchdogSpec},
};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use tanist_engine::Tags;
use tanist_patroni::{DecodeError, engine_tags, parse_bool};

/// Everything an agent needs.
pub(super) fn settings(mut spec: Spec, report: &mut Report, disk: &dyn Programs) -> Option<Settings> {
    let name = names::member(spec.name.take(), report);
    let own = dns::own_addresses(&spec);
    let (rest, plugins) = (spec.restapi.as_ref(), spec.plugins.take());
    let rest = rest::rest(rest, report);
    let plugins = plugins::plugins(plugins.unwrap_or_default(), report);
    let bootstrap = bootstrap::bootstrap(spec.bootstrap.take().unwrap_or_default(), report);
    let watchdog = watchdog(spec.watchdog.take(), report);
    let (tags, engine_tags) = tags(spec.tags.take().unwrap_or_default(), report);
    let TanistSpec { state_dir, user, storage } = spec.tanist.take().unwrap_or_default();
    let storage = storage::storage(storage, report);
    let section = spec.postgresql.take();
    let cluster = cluster::rest_of(spec, &own, report);

    let data_dir = section.as_ref().and_then(|section| postgresql::data_dir(section, report));
    let state_dir = match (state_dir, &data_dir, &cluster, &name) {
        (Some(Text(path)), ..) => absolute(&path, "tanist.state_dir", report),
        (None, Some(data_dir), Some(cluster), Some(name)) => {
            Some(data_dir.parent().unwrap_or(Path::new("/")).join(format!("tanist-{}-{name}", cluster.scope)))
        }
        // The default is made from what is missing and was reported.
        (None, ..) => None,
    };
    if let (Some(state), Some(data)) = (&state_dir, &data_dir)
        && state.starts_with(data)
    {
        report.error("tanist.state_dir", "must not be inside postgresql.data_dir, which may be replaced as a whole");
    }
    let section = match section {
        Some(section) => section,
        None => {
            report.error("postgresql", "is missing; add it with listen, data_dir and authentication");
            return None;
        }
    };
    let facts = postgresql::Facts {
        dynamic: bootstrap.as_ref().map(|bootstrap| &bootstrap.dynamic.postgresql),
        state_dir: state_dir.as_deref(),
        data_dir,
    };
    let postgres = postgresql::postgresql(section, facts, report, disk);
    let user = user.map(|Text(user)| user);
    Some(Settings {
        cluster: cluster?,
        name: name?,
        rest: rest?,
        bootstrap: bootstrap?,
        postgres: postgres?,
        watchdog: watchdog?,
        tags,
        engine_tags: engine_tags?,
        plugins,
        state_dir: state_dir?,
        storage: storage?,
        user,
    })
}

/// An absolute path without slashes at its end.
fn absolute(text: &str, key: &str, report: &mut Report) -> Option<PathBuf> {
    let path: PathBuf = Path::new(text.trim()).components().collect();
    if path.is_absolute() && !text.contains(['\0', '\n']) {
        return Some(path);
    }
    report.error(key, format!("must be an absolute path, not `{text}`"));
    None
}

fn tags(tags: Map<String, Value>, report: &mut Report) -> (Map<String, Value>, Option<Tags>) {
    for (name, without) in [
        ("clonefrom", "replicas are copied from the leader"),
        ("replicatefrom", "replicas stream from the leader"),
        ("nostream", "replicas stream from the leader"),
        ("sync_priority", "the synchronous standby is chosen by position"),
    ] {
        if tags.get(name).is_some_and(|value| parse_bool(value) != Some(false)) {
            report.warning(
                &format!("tags.{name}"),
                format!("is shown to others, but has no effect in this version of tanist: {without}"),
            );
        }
    }
    let known = match engine_tags("patroni.yml", &tags) {
        Ok(known) => Some(known),
        Err(DecodeError::Wrong { field, expected, .. }) => {
            report.error(&field, format!("must be {expected}"));
            None
        }
        Err(other) => {
            report.error("tags", other.to_string());
            None
        }
    };
    (tags, known)
}

fn watchdog(section: Option<WatchdogSpec>, report: &mut Report) -> Option<WatchdogSettings> {
    let WatchdogSpec { mode, device } = section.unwrap_or_default();
    let device = match device {
        Some(Text(path)) => absolute(&path, "watchdog.device", report)?,
        None => PathBuf::from("/dev/watchdog"),
    };
    let word = match mode {
        None => return Some(WatchdogSettings { mode: WatchdogMode::Automatic, device }),
        Some(Value::Bool(false)) => "off".to_owned(),
        Some(Value::String(word)) => word.to_ascii_lowercase(),
        Some(other) => other.to_string(),
    };
    let mode = match word.as_str() {
        "off" => WatchdogMode::Off,
        "automatic" => {
            report.info("watchdog.mode", "no watchdog device is used by this version of tanist; the guard fences without one");
            WatchdogMode::Automatic
        }
        "required" => {
            report.error("watchdog.mode", "`required` cannot be honoured by this version of tanist; set it to automatic or off");
            return None;
        }
        _ => {
            report.error("watchdog.mode", "must be off, automatic or required");
            return None;
        }
    };
    Some(WatchdogSettings { mode, device })
}
