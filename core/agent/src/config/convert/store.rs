//! The one store of the cluster.

use super::{
    super::{
        EtcdSettings, Secret, StoreSettings, address,
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
    let EtcdSpec { host, hosts, url, protocol, cacert, cert, key, username, password } = section;
    let scheme = scheme(protocol, report);
    let endpoints = endpoints(host, hosts, url, scheme.unwrap_or("http"), report);
    let user = user(username, password, report);
    let mut file = |given: Option<Text>, key: &str| match given {
        Some(Text(path)) => absolute(&path, key, report).map(Some),
        None => Some(None),
    };
    let files = (file(cacert, "etcd3.cacert"), file(cert, "etcd3.cert"), file(key, "etcd3.key"));
    // What is missing here was reported.
    let (scheme, endpoints, user) = (scheme?, endpoints?, user?);
    let (cacert, cert, key) = (files.0?, files.1?, files.2?);
    if key.is_some() && cert.is_none() {
        report.error("etcd3.key", "stands alone; set etcd3.cert to the certificate that belongs to it");
        return None;
    }
    let encrypted = endpoints.iter().any(|endpoint| endpoint.starts_with("https:"));
    if !encrypted {
        for (key, given) in [("etcd3.cacert", cacert.is_some()), ("etcd3.cert", cert.is_some())] {
            if given {
                report.warning(key, format!("has no effect with protocol {scheme}; set etcd3.protocol to https"));
            }
        }
        if user.is_some() {
            report.warning("etcd3.password", "is sent in clear text; set etcd3.protocol to https");
        }
    }
    // As in Patroni, the key may stand in the certificate's file.
    let identity = cert.map(|cert| (cert.clone(), key.unwrap_or(cert)));
    Some(EtcdSettings { endpoints, cacert, identity, user })
}

fn scheme(protocol: Option<Text>, report: &mut Report) -> Option<&'static str> {
    match protocol.map(|Text(word)| word.to_ascii_lowercase()).as_deref() {
        None | Some("http") => Some("http"),
        Some("https") => Some("https"),
        Some(_) => {
            report.error("etcd3.protocol", "must be http or https");
            None
        }
    }
}

/// URLs of the members. One that brings its own scheme keeps it.
fn endpoints(
    host: Option<Text>,
    hosts: Option<List>,
    url: Option<Text>,
    scheme: &str,
    report: &mut Report,
) -> Option<Vec<String>> {
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
        let (scheme, bare) = match place.trim().split_once("://") {
            Some(("http", bare)) => ("http", bare),
            Some(("https", bare)) => ("https", bare),
            _ => (scheme, place.trim()),
        };
        match address::endpoint(bare.trim_end_matches('/'), Some(2379)) {
            Ok(at) if at.host.contains(':') => endpoints.push(format!("{scheme}://[{}]:{}", at.host, at.port)),
            Ok(at) => endpoints.push(format!("{scheme}://{}:{}", at.host, at.port)),
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
    Some(endpoints)
}

/// Both halves of a user, or none. The outer `None`: reported.
fn user(username: Option<Text>, password: Option<Text>, report: &mut Report) -> Option<Option<(String, Secret)>> {
    match (username, password) {
        (None, None) => Some(None),
        (Some(Text(name)), Some(Text(password))) => Some(Some((name, Secret::new(password)))),
        (Some(_), None) => {
            report.error("etcd3.password", "is missing beside etcd3.username");
            None
        }
        (None, Some(_)) => {
            report.error("etcd3.username", "is missing beside etcd3.password");
            None
        }
    }
}
