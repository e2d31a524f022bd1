//! The section `plugins`: what is loaded, and what each plugin may do.

use super::{
    super::{
        DnsGrantSetting, PluginGrants, PluginLimits, PluginSetting, PluginSource, Secret, TsigKeySetting,
        report::Report,
        spec::{DnsGrantSpec, GrantsSpec, LimitsSpec, List, OneOrMany, PluginSpec, Text, TsigSpec},
    },
    absolute, dns, http, names,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use tanist_patroni::parse_bytes;

/// What is built in.
const BUILTIN: [&str; 2] = ["dns-update", "notify"];
/// Algorithms of RFC 8945 that are no longer weak.
const ALGORITHMS: [&str; 3] = ["hmac-sha256", "hmac-sha384", "hmac-sha512"];

pub(super) fn plugins(list: Vec<PluginSpec>, report: &mut Report) -> Vec<PluginSetting> {
    let mut seen = BTreeSet::new();
    let mut settings = Vec::new();
    for (index, plugin) in list.into_iter().enumerate() {
        let key = format!("plugins[{index}]");
        let Some(setting) = one(plugin, &key, report) else { continue };
        if !seen.insert(setting.name.clone()) {
            report.error(
                &format!("{key}.name"),
                format!("`{}` is the name of another plugin too; give each its own", setting.name),
            );
        }
        settings.push(setting);
    }
    settings
}

fn one(plugin: PluginSpec, key: &str, report: &mut Report) -> Option<PluginSetting> {
    let PluginSpec { name, component, sha256, config, grants, limits, dry_run } = plugin;
    let name = name.map(|Text(name)| name).filter(|name| is_id(name));
    if name.is_none() {
        report.error(&format!("{key}.name"), "must be a name of small letters, digits and hyphens");
    }
    let source = source(component, &format!("{key}.component"), report);
    let sha256 = match sha256 {
        None => None,
        Some(Text(digest)) if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Some(digest.to_ascii_lowercase())
        }
        Some(_) => {
            report.error(&format!("{key}.sha256"), "must be 64 hexadecimal digits, as sha256sum prints them");
            return None;
        }
    };
    let config = match config {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(config @ Value::Object(_)) => config,
        Some(_) => {
            report.error(&format!("{key}.config"), "must be a map");
            return None;
        }
    };
    let grants = grants_of(grants.unwrap_or_default(), &format!("{key}.grants"), report);
    let limits = limits_of(limits.unwrap_or_default(), &format!("{key}.limits"), report);
    let dry_run = dry_run.is_some_and(|flag| flag.0);
    Some(PluginSetting { name: name?, source: source?, sha256, config, grants: grants?, limits: limits?, dry_run })
}

fn is_id(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn source(component: Option<Text>, key: &str, report: &mut Report) -> Option<PluginSource> {
    let Some(Text(component)) = component else {
        report.error(key, "is missing; name a file, builtin:dns-update or builtin:notify");
        return None;
    };
    match component.strip_prefix("builtin:") {
        Some(name) if BUILTIN.contains(&name) => Some(PluginSource::Builtin(name.to_owned())),
        Some(name) => {
            report.error(key, format!("`{name}` is not built in; there is {}", BUILTIN.join(", ")));
            None
        }
        None => absolute(&component, key, report).map(PluginSource::File),
    }
}

fn grants_of(grants: GrantsSpec, key: &str, report: &mut Report) -> Option<PluginGrants> {
    let GrantsSpec { leadership, dns, http } = grants;
    let leadership = leadership.is_some_and(|flag| flag.0);
    let dns = each(dns, &format!("{key}.dns"), |grant, key| dns_grants(grant, key, report));
    let http = each(http, &format!("{key}.http"), |grant, key| http::grant(grant, key, report).map(|grant| vec![grant]));
    Some(PluginGrants { leadership, dns: dns?, http: http? })
}

/// All of a list, each with its key; nothing if one of them was reported.
fn each<S, T>(list: Option<OneOrMany<S>>, key: &str, mut convert: impl FnMut(S, &str) -> Option<Vec<T>>) -> Option<Vec<T>> {
    let Some(OneOrMany { items, single }) = list else { return Some(Vec::new()) };
    let (mut all, mut complete) = (Vec::new(), true);
    for (index, item) in items.into_iter().enumerate() {
        let key = if single { key.to_owned() } else { format!("{key}[{index}]") };
        match convert(item, &key) {
            Some(converted) => all.extend(converted),
            None => complete = false,
        }
    }
    complete.then_some(all)
}

/// One grant for each zone.
fn dns_grants(grant: DnsGrantSpec, key: &str, report: &mut Report) -> Option<Vec<DnsGrantSetting>> {
    let DnsGrantSpec { server, zone, zones, names: list, addresses, tsig_key } = grant;
    let server = server.as_ref().and_then(|Text(server)| dns::socket_address(server, 53));
    if server.is_none() {
        report.error(&format!("{key}.server"), "must be the numeric ADDRESS:PORT of the zone's primary server");
    }
    let zones: Vec<String> =
        zone.map(|Text(zone)| zone).into_iter().chain(zones.into_iter().flat_map(|List(zones)| zones)).collect();
    let zones: Option<Vec<String>> = zones.iter().map(|zone| names::domain(zone)).collect();
    let zones = zones.filter(|zones| !zones.is_empty());
    if zones.is_none() {
        report.error(&format!("{key}.zone"), "must be a domain name");
    }
    let list = list.map(|List(names)| names).unwrap_or_default();
    let pattern = |name: &String| match name.strip_prefix("*.") {
        Some(suffix) => names::domain(suffix).map(|suffix| format!("*.{suffix}")),
        None => names::domain(name),
    };
    let list: Option<Vec<String>> = list.iter().map(pattern).collect();
    let list = list.filter(|names| !names.is_empty());
    if list.is_none() {
        report.error(&format!("{key}.names"), "must be a list of domain names, each exact or `*.` and a suffix");
    }
    let addresses =
        dns::ip_addresses(&addresses.map(|List(addresses)| addresses).unwrap_or_default(), &format!("{key}.addresses"), report);
    let tsig_key = match tsig_key {
        Some(spec) => Some(tsig(spec, &format!("{key}.tsig_key"), report)?),
        None => {
            report.warning(&format!("{key}.tsig_key"), "is missing; updates are not signed, and anybody may send such");
            None
        }
    };
    let (server, zones, names, addresses) = (server?, zones?, list?, addresses?);
    let mut grants: Vec<DnsGrantSetting> = Vec::with_capacity(zones.len());
    for zone in &zones {
        let within = |name: &&String| name.as_str() == zone || name.ends_with(&format!(".{zone}"));
        let names: Vec<String> = names.iter().filter(within).cloned().collect();
        let (zone, addresses, tsig_key) = (zone.clone(), addresses.clone(), tsig_key.clone());
        grants.push(DnsGrantSetting { server, zone, names, addresses, tsig_key });
    }
    if let Some(stray) = names.iter().find(|name| !grants.iter().any(|grant| grant.names.contains(name))) {
        report.error(&format!("{key}.names"), format!("`{stray}` is not in {}", zones.join(", ")));
        return None;
    }
    Some(grants)
}

fn tsig(spec: TsigSpec, key: &str, report: &mut Report) -> Option<TsigKeySetting> {
    let TsigSpec { name, algorithm, secret, secret_file } = spec;
    let Some(name) = name.and_then(|Text(name)| names::domain(&name)) else {
        report.error(&format!("{key}.name"), "must be the name of the key, as the server knows it");
        return None;
    };
    let algorithm =
        algorithm.map_or_else(|| ALGORITHMS[0].to_owned(), |Text(word)| word.trim_end_matches('.').to_ascii_lowercase());
    if !ALGORITHMS.contains(&algorithm.as_str()) {
        report.error(&format!("{key}.algorithm"), format!("must be one of {}", ALGORITHMS.join(", ")));
        return None;
    }
    let (field, secret) = match (secret, secret_file) {
        (Some(Text(secret)), None) => ("secret", secret),
        (None, Some(Text(path))) => ("secret_file", secret_from(&path, &format!("{key}.secret_file"), report)?),
        (Some(_), Some(_)) => {
            report.error(&format!("{key}.secret"), "stands beside secret_file; remove one of them");
            return None;
        }
        (None, None) => {
            report.error(&format!("{key}.secret"), "is missing; set it, or secret_file to a file that has it in Base64");
            return None;
        }
    };
    let secret = secret.trim();
    if secret.is_empty() || STANDARD.decode(secret).is_err() {
        report.error(&format!("{key}.{field}"), "must be Base64, as tsig-keygen prints it");
        return None;
    }
    Some(TsigKeySetting { name, algorithm, secret: Secret::new(secret.to_owned()) })
}

fn secret_from(path: &str, key: &str, report: &mut Report) -> Option<String> {
    let path = absolute(path, key, report)?;
    match std::fs::read_to_string(&path) {
        Ok(text) if text.len() <= 4096 => Some(text),
        Ok(_) => {
            report.error(key, format!("{} is too long for a key", path.display()));
            None
        }
        Err(error) => {
            report.error(key, format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}

fn limits_of(limits: LimitsSpec, key: &str, report: &mut Report) -> Option<PluginLimits> {
    let LimitsSpec { memory, cpu, wall, log } = limits;
    let bytes = |value: Option<Text>, name: &str, report: &mut Report| match value {
        None => Some(None),
        Some(Text(text)) => match parse_bytes(&text).filter(|bytes| *bytes > 0) {
            Some(bytes) => Some(Some(bytes)),
            None => {
                report.error(&format!("{key}.{name}"), "must be a size, for example 64MB");
                None
            }
        },
    };
    let (memory, log) = (bytes(memory, "memory", report), bytes(log, "log", report));
    let time = |value: Option<Text>, name: &str, report: &mut Report| match value {
        None => Some(None),
        Some(Text(text)) => match milliseconds(&text) {
            Some(time) => Some(Some(time)),
            None => {
                report.error(&format!("{key}.{name}"), "must be a time from 1ms to 1h, for example 500ms or 5s");
                None
            }
        },
    };
    let (cpu_ms, wall_ms) = (time(cpu, "cpu", report), time(wall, "wall", report));
    Some(PluginLimits { memory: memory?, cpu_ms: cpu_ms?, wall_ms: wall_ms?, log: log? })
}

fn milliseconds(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(factor).filter(|time| (1..=3_600_000).contains(time))
}
