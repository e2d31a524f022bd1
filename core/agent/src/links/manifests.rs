//! The manifests of plugins: of those that are built in, and beside a component.

use super::plugins::PluginsError;
use std::{collections::BTreeSet, path::Path, time::Duration};
use tanist_broker::{
    Manifest, Runs,
    protocol::{Action, Import, Limits},
};

/// Manifests of the guests that are built into the plugin host, by name.
const BUILTIN: [(&str, &str); 2] = [
    ("dns-update", include_str!("../../../../plugins/dns-update/plugin.toml")),
    ("notify", include_str!("../../../../plugins/notify/plugin.toml")),
];

/// The manifest of `builtin:NAME`, for a plugin.
pub(super) fn builtin(plugin: &str, name: &str) -> Result<Manifest, PluginsError> {
    let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == name) else {
        return Err(PluginsError::Builtin { plugin: plugin.to_owned(), builtin: name.to_owned() });
    };
    let path = format!("builtin:{name}");
    Manifest::parse(text).map_err(|error| PluginsError::Manifest { plugin: plugin.to_owned(), path, error })
}

/// `NAME.toml` or `plugin.toml` beside `NAME.wasm`; without either, a plugin of the node that wants every callback.
pub(super) fn beside(plugin: &str, component: &Path) -> Result<Manifest, PluginsError> {
    let unreadable = |path: &Path, error| PluginsError::Component { plugin: plugin.to_owned(), path: path.to_owned(), error };
    std::fs::metadata(component).map_err(|error| unreadable(component, error))?;
    for path in [component.with_extension("toml"), component.with_file_name("plugin.toml")] {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let path = path.display().to_string();
                return Manifest::parse(&text).map_err(|error| PluginsError::Manifest { plugin: plugin.to_owned(), path, error });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, error)),
        }
    }
    Ok(Manifest {
        id: plugin.to_owned(),
        version: "0".to_owned(),
        runs: Runs::Node,
        events: BTreeSet::from([Action::OnStart, Action::OnStop, Action::OnRestart, Action::OnReload, Action::OnRoleChange]),
        release: false,
        after: BTreeSet::new(),
        // Nothing says what it wants: it may have whatever is granted.
        capabilities: BTreeSet::from(Import::ALL),
        limits: Limits::default(),
        wall: Duration::from_secs(5),
        cpu: Duration::from_millis(200),
        interval: Duration::from_secs(10),
        on_failure: tanist_broker::OnFailure::Retry,
    })
}
