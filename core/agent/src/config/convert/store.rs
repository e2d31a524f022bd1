//! The one store of the cluster.

use super::{
    super::{
        EtcdSettings, StoreSettings, address,
        report::Report,
        spec::{EtcdSpec, List, LocalSpec, Text},
    },
    absolute,
};

/// Sections of stores that are refused by name; where one of them stands, "no store" needs no second error.
const REFUSED: [&str; 6] = ["etcd", "consul", "zookeeper", "exhibitor", "kubernetes", "raft"];

/// Exactly one.
pub(super) fn store(etcd3: Option<EtcdSpec>, local: Option<LocalSpec>, report: &mut Report) -> Option<StoreSettings> {
    match (etcd3, local) {
        (Some(section), None) => etcd(section, report).map(StoreSettings::Etcd),
        (None, Some(LocalSpec { socket })) => match socket {
            Some(Text(path)) => Some(StoreSettings::Local { socket: absolute(&path, "local.socket", report)? }),
            None => {
                report.error("local.socket", "is missing; name the Unix socket that `tanist dcs` serves");
                None
            }
        },
        (Some(_), Some(_)) => {
            report.error("local", "stands beside etcd3; a cluster has one store, remove one of the two sections");
            None
        }
        (None, None) => {
            if !REFUSED.iter().any(|section| report.positions().has(section)) {
                report.error("", "names no store; add a section etcd3 with hosts, or local with socket on a single machine");
            }
            None
        }
    }
}

fn etcd(section: EtcdSpec, report: &mut Report) -> Option<EtcdSettings> {
    let EtcdSpec { host, hosts, url, protocol, username, password } = section;
    for (key, given) in [("etcd3.username", username.is_some()), ("etcd3.password", password.is_some())] {
        if given {
            report.error(
                key,
                "logging in to etcd is not supported by this version of tanist; allow access without it from these nodes",
            );
        }
    }
    match protocol.map(|Text(word)| word.to_ascii_lowercase()).as_deref() {
        None | Some("http") => {}
        Some("https") => {
            report.error("etcd3.protocol", "https is not supported by this version of tanist; use http on a network you trust");
            return None;
        }
        Some(_) => {
            report.error("etcd3.protocol", "must be http or https");
            return None;
        }
    }
    let (key, places) = match (hosts, host, url) {
        (Some(List(places)), _, _) => ("etcd3.hosts", places),
        (None, Some(Text(place)), _) => ("etcd3.host", vec![place]),
        (None, None, Some(Text(url))) => ("etcd3.url", vec![url]),
        (None, None, None) => {
            report.error("etcd3", "names no server; set hosts to a list of HOST:PORT");
            return None;
        }
    };
    let mut endpoints = Vec::with_capacity(places.len());
    for place in &places {
        if place.starts_with("https:") {
            report.error(key, "https is not supported by this version of tanist; use http on a network you trust");
            return None;
        }
        let bare = place.trim().trim_start_matches("http://").trim_end_matches('/');
        match address::endpoint(bare, Some(2379)) {
            Ok(at) if at.host.contains(':') => endpoints.push(format!("http://[{}]:{}", at.host, at.port)),
            Ok(at) => endpoints.push(format!("http://{}:{}", at.host, at.port)),
            Err(problem) => {
                report.error(key, format!("`{place}` {problem}"));
                return None;
            }
        }
    }
    if endpoints.is_empty() {
        report.error(key, "names no server; set it to a list of HOST:PORT");
        return None;
    }
    Some(EtcdSettings { endpoints })
}
