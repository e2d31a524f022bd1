//! What also the commands need that only look at a cluster.

use super::{
    super::{
        ClusterSettings, LogLevel, LogSettings,
        report::Report,
        spec::{LogSpec, Spec, Text},
    },
    dns, names, rest, store,
};
use std::net::IpAddr;

/// From a whole file.
pub(in crate::config) fn cluster(spec: Spec, report: &mut Report) -> Option<ClusterSettings> {
    let own = dns::own_addresses(&spec);
    rest_of(spec, &own, report)
}

/// Takes what is left in the `Spec`; what an agent needs besides may have been taken from it before. `own`: the addresses at which
/// others reach this node.
pub(super) fn rest_of(spec: Spec, own: &[IpAddr], report: &mut Report) -> Option<ClusterSettings> {
    let Spec {
        scope,
        namespace,
        name: _,
        log,
        restapi,
        etcd3,
        local,
        bootstrap: _,
        postgresql: _,
        watchdog: _,
        tags: _,
        dns,
        plugins: _,
        tanist: _,
    } = spec;
    let scope = names::scope(scope, report);
    let namespace = names::namespace(namespace, report);
    let log = logging(log.unwrap_or_default(), report);
    let store = store::store(etcd3, local, report);
    let rest_credentials = rest::credentials(restapi, report);
    let dns = match dns {
        Some(section) => Some(dns::dns(section, scope.as_deref(), own, report)?),
        None => None,
    };
    Some(ClusterSettings {
        scope: scope?,
        namespace: namespace?,
        log: log?,
        store: store?,
        rest_credentials: rest_credentials?,
        dns,
    })
}

fn logging(section: LogSpec, report: &mut Report) -> Option<LogSettings> {
    let LogSpec { level, kind } = section;
    let level = match level.map(|Text(word)| word.to_ascii_uppercase()).as_deref() {
        None | Some("INFO") => LogLevel::Info,
        Some("DEBUG" | "NOTSET") => LogLevel::Debug,
        Some("WARNING" | "WARN") => LogLevel::Warn,
        Some("ERROR" | "CRITICAL" | "FATAL") => LogLevel::Error,
        Some(_) => {
            report.error("log.level", "must be DEBUG, INFO, WARNING, ERROR or CRITICAL");
            return None;
        }
    };
    let json = match kind.map(|Text(word)| word.to_ascii_lowercase()).as_deref() {
        None | Some("plain") => false,
        Some("json") => true,
        Some(_) => {
            report.error("log.type", "must be plain or json");
            return None;
        }
    };
    Some(LogSettings { level, json })
}
