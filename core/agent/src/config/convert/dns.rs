//! The section `dns`.

use super::{
    super::{
        DnsSettings, NameServerSetting, SoaSettings, address,
        report::Report,
        spec::{DnsSpec, List, NameServerSpec, Number, SoaSpec, Spec, Text},
    },
    names,
};
use std::net::{IpAddr, SocketAddr};

/// Time to live of the names that follow the primary, where none is configured.
const TTL: u32 = 5;
/// RFC 2181 §8.
const LONGEST: u64 = i32::MAX as u64;

/// The numeric addresses at which this node says that others reach it: PostgreSQL's, which clients use, else those of the REST API.
pub(super) fn own_addresses(spec: &Spec) -> Vec<IpAddr> {
    let of = |connect: Option<&Text>, listen: Option<&Text>| {
        let hosts = match (connect, listen) {
            (Some(Text(connect)), _) => address::endpoint(connect, Some(1)).map(|connect| vec![connect.host]),
            (None, Some(Text(listen))) => address::listen(listen, 1).map(|(hosts, _)| hosts),
            (None, None) => Ok(Vec::new()),
        };
        let numeric = hosts.unwrap_or_default().into_iter().filter_map(|host| host.parse().ok());
        let reached = numeric.filter(|address: &IpAddr| !address.is_unspecified());
        // A loopback address only where there is no other: a cluster on one machine.
        let (near, far): (Vec<IpAddr>, Vec<IpAddr>) = reached.partition(IpAddr::is_loopback);
        if far.is_empty() { near } else { far }
    };
    let postgres = spec.postgresql.as_ref().map(|section| of(section.connect_address.as_ref(), section.listen.as_ref()));
    let rest = spec.restapi.as_ref().map(|section| of(section.connect_address.as_ref(), section.listen.as_ref()));
    [postgres, rest].into_iter().flatten().find(|addresses| !addresses.is_empty()).unwrap_or_default()
}

/// The addresses of a server that listens there: a listener on every address has those of the node.
fn advertised(listen: &[SocketAddr], own: &[IpAddr]) -> Vec<IpAddr> {
    let mut advertised = Vec::new();
    for listener in listen.iter().map(SocketAddr::ip) {
        // A listener on [::] takes IPv4, too.
        let reached = own.iter().copied().filter(|own| listener.is_ipv6() || own.is_ipv4());
        let addresses: Vec<IpAddr> = if listener.is_unspecified() { reached.collect() } else { vec![listener] };
        for address in addresses {
            if !advertised.contains(&address) {
                advertised.push(address);
            }
        }
    }
    advertised
}

/// `own`: the addresses at which others reach this node.
pub(super) fn dns(section: DnsSpec, scope: Option<&str>, own: &[IpAddr], report: &mut Report) -> Option<DnsSettings> {
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
    let advertised = listen.as_deref().map(|listen| advertised(listen, own)).unwrap_or_default();
    if nameservers.is_empty() && advertised.is_empty() && listen.is_some() {
        report.error(
            "dns.ns",
            "is missing; dns.listen names no address that others could ask, and neither postgresql.connect_address nor \
             restapi.connect_address is numeric: give dns.ns name and addresses, for example \
             [{name: ns1.ZONE, addresses: [10.0.0.11]}], or listen on such an address",
        );
        return None;
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
        advertised,
        zone: zone?,
        ttl: ttl?,
        nameservers: nameservers.into_iter().collect::<Option<_>>()?,
        soa,
    })
}

fn listeners(list: Option<List>, report: &mut Report) -> Option<Vec<SocketAddr>> {
    let addresses = list.map(|List(addresses)| addresses).unwrap_or_default();
    if addresses.is_empty() {
        report.error("dns.listen", "is missing; set it to a list of ADDRESS:PORT, for example ['10.0.0.11:53']");
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
    let key = format!("{key}.addresses");
    let addresses = ip_addresses(&addresses, &key, report)?;
    if let Some(nowhere) = addresses.iter().find(|address| address.is_unspecified()) {
        report.error(&key, format!("must be addresses that others can reach; {nowhere} leads nowhere"));
        return None;
    }
    Some(NameServerSetting { name, addresses })
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
