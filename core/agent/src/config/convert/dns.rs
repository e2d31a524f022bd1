//! The section `dns`.

use super::{
    super::{
        DnsSettings, NameServerSetting, SoaSettings,
        report::Report,
        spec::{DnsSpec, List, NameServerSpec, Number, SoaSpec, Text},
    },
    names,
};
use std::net::{IpAddr, SocketAddr};

/// Time to live of the names that follow the primary, where none is configured.
const TTL: u32 = 5;
/// RFC 2181 §8.
const LONGEST: u64 = i32::MAX as u64;

pub(super) fn dns(section: DnsSpec, scope: Option<&str>, report: &mut Report) -> Option<DnsSettings> {
    let DnsSpec { listen, zone, ttl, ns, soa } = section;
    let listen = listeners(listen, report);
    let zone = match zone {
        None => {
            report.error("dns.zone", "is missing; name the zone that this server answers for");
            None
        }
        Some(Text(zone)) => names::domain(&zone).or_else(|| {
            report.error("dns.zone", format!("`{zone}` is no domain name"));
            None
        }),
    };
    if let Some(scope) = scope.filter(|scope| scope.contains('.') || names::domain(scope).is_none()) {
        report.error(
            "scope",
            format!("`{scope}` must be a DNS label (letters, digits, hyphens), because the section dns makes names of it"),
        );
    }
    let ttl = seconds(ttl, TTL, "dns.ttl", report);
    let mut nameservers = Vec::new();
    for (index, server) in ns.unwrap_or_default().into_iter().enumerate() {
        nameservers.push(name_server(server, &format!("dns.ns[{index}]"), report));
    }
    let SoaSpec { mailbox, refresh, retry, expire, minimum } = soa.unwrap_or_default();
    let soa = SoaSettings {
        mailbox: mailbox.map(|Text(mailbox)| mailbox),
        refresh: seconds(refresh, 60, "dns.soa.refresh", report)?,
        retry: seconds(retry, 10, "dns.soa.retry", report)?,
        expire: seconds(expire, 86_400, "dns.soa.expire", report)?,
        minimum: seconds(minimum, 5, "dns.soa.minimum", report)?,
    };
    Some(DnsSettings {
        listen: listen?,
        zone: zone?,
        ttl: ttl?,
        nameservers: nameservers.into_iter().collect::<Option<_>>()?,
        soa,
    })
}

fn listeners(list: Option<List>, report: &mut Report) -> Option<Vec<SocketAddr>> {
    let addresses = list.map(|List(addresses)| addresses).unwrap_or_default();
    if addresses.is_empty() {
        report.error("dns.listen", "is missing; set it to a list of ADDRESS:PORT, for example ['0.0.0.0:53']");
        return None;
    }
    let mut listen = Vec::with_capacity(addresses.len());
    for text in addresses {
        match socket_address(&text, 53) {
            Some(address) => listen.push(address),
            None => {
                report.error("dns.listen", format!("`{text}` must be a numeric ADDRESS:PORT"));
                return None;
            }
        }
    }
    Some(listen)
}

fn name_server(server: NameServerSpec, key: &str, report: &mut Report) -> Option<NameServerSetting> {
    let NameServerSpec { name, addresses } = server;
    let Some(name) = name.and_then(|Text(name)| names::domain(&name)) else {
        report.error(key, "must be a domain name, or a map with name and addresses");
        return None;
    };
    let addresses = addresses.map(|List(addresses)| addresses).unwrap_or_default();
    Some(NameServerSetting { name, addresses: ip_addresses(&addresses, &format!("{key}.addresses"), report)? })
}

pub(super) fn ip_addresses(texts: &[String], key: &str, report: &mut Report) -> Option<Vec<IpAddr>> {
    let parsed: Result<Vec<IpAddr>, _> = texts.iter().map(|text| text.trim().parse()).collect();
    parsed.map_err(|_| report.error(key, "must be a list of numeric addresses")).ok()
}

/// A numeric address, the port with a default.
pub(super) fn socket_address(text: &str, port: u16) -> Option<SocketAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse().ok().or_else(|| bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port)))
}

fn seconds(number: Option<Number>, default: u32, key: &str, report: &mut Report) -> Option<u32> {
    match number {
        None => Some(default),
        Some(Number(number)) if number <= LONGEST => u32::try_from(number).ok(),
        Some(_) => {
            report.error(key, "must be 0 to 2147483647 seconds");
            None
        }
    }
}
