//! The zone as configured: apex, name servers, SOA fields, TTLs, and what to answer without a proved primary.
//!
//! [`Zone`] is the checked form; nothing behind it can fail on a name any more.

use hickory_proto::rr::{LowerName, Name};
use std::net::IpAddr;

/// The zone, in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneConfig {
    /// The zone's name, for example `db.example.org`.
    pub apex: String,
    /// Its name servers; at least one. The first is the SOA's primary server.
    pub nameservers: Vec<NameServer>,
    /// The mailbox of the person responsible, in the SOA's form: `hostmaster.example.org`.
    pub mailbox: String,
    /// SOA refresh, retry and expire, in seconds: for secondaries.
    pub refresh: u32,
    /// See `refresh`.
    pub retry: u32,
    /// See `refresh`.
    pub expire: u32,
    /// Lifetimes of answers.
    pub ttls: Ttls,
    /// The answer for `primary` when the last known primary is no longer proved.
    pub unproved: Unproved,
    /// `replica` names the primary when there is no replica, so that readers keep working.
    pub replica_falls_back: bool,
}

impl ZoneConfig {
    /// A zone with defaults for everything but its name and name servers.
    pub fn new(apex: impl Into<String>, nameservers: Vec<NameServer>) -> Self {
        let apex = apex.into();
        let mailbox = format!("hostmaster.{apex}");
        Self {
            apex,
            nameservers,
            mailbox,
            refresh: 60,
            retry: 10,
            expire: 86_400,
            ttls: Ttls::default(),
            unproved: Unproved::NoData,
            replica_falls_back: true,
        }
    }
}

/// One name server of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its host name, inside the zone or elsewhere.
    pub name: String,
    /// Its addresses; answered only when the name is inside the zone.
    pub addresses: Vec<IpAddr>,
}

/// Lifetimes of answers, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttls {
    /// `primary`: the upper bound; the rest of the lease bounds it too.
    pub primary: u32,
    /// `replica`.
    pub replica: u32,
    /// Member names.
    pub member: u32,
    /// SOA, NS and the name servers' addresses.
    pub zone: u32,
    /// How long "there is no such name" and "no such record" may be kept (the SOA's minimum).
    pub negative: u32,
}

impl Default for Ttls {
    fn default() -> Self {
        Self { primary: 5, replica: 5, member: 60, zone: 3_600, negative: 1 }
    }
}

/// What `primary` answers when the lease of the last known primary has run out unseen. It never applies to a released lease or to another
/// epoch: there the old address is not answered at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproved {
    /// The name exists and has no address, with the reason as extended DNS error 14 (not ready).
    NoData,
    /// The last known address with TTL 0 and extended DNS error 3 (stale answer): for clusters whose primary goes on without the store
    /// while all members agree.
    LastKnown,
}

/// Why a zone cannot be served as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// A name is no domain name.
    #[error("{field}: {name:?} is not a domain name ({why})")]
    Name {
        /// Which setting.
        field: &'static str,
        /// Its value.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The root or nothing was given as the zone.
    #[error("zone: the root cannot be served; give a name such as db.example.org")]
    Root,
    /// A zone needs a name server.
    #[error("nameservers: a zone needs at least one")]
    NoNameServer,
    /// A name server inside the zone cannot be found without its address.
    #[error("nameservers: {0} is inside the zone and has no address")]
    NoAddress(String),
    /// Nobody can send a question to 0.0.0.0 or ::.
    #[error("nameservers: {0} cannot have the address {1}, which leads nowhere; give one that others can reach")]
    Unspecified(String, IpAddr),
    /// The name is used for clusters.
    #[error("nameservers: {0} has more than one label inside the zone; such names belong to clusters")]
    TooDeep(String),
    /// Every name server has one entry.
    #[error("nameservers: {0} is there twice; give all addresses in one entry")]
    Twice(String),
    /// A time in seconds is above 2^31 - 1.
    #[error("{0}: above 2147483647 seconds")]
    TooLong(&'static str),
}

/// A checked zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub(crate) apex: LowerName,
    pub(crate) apex_labels: usize,
    pub(crate) nameservers: Vec<(Name, Vec<IpAddr>)>,
    pub(crate) mailbox: Name,
    pub(crate) config: ZoneConfig,
}

impl Zone {
    /// Checks a configuration.
    pub fn new(config: ZoneConfig) -> Result<Self, ZoneError> {
        let apex = domain("zone", &config.apex)?;
        if apex.is_root() {
            return Err(ZoneError::Root);
        }
        let apex = LowerName::new(&apex);
        let apex_labels = usize::from(apex.num_labels());
        let mut nameservers: Vec<(Name, Vec<IpAddr>)> = Vec::with_capacity(config.nameservers.len());
        for server in &config.nameservers {
            let name = domain("nameservers", &server.name)?;
            if let Some(nowhere) = server.addresses.iter().find(|address| address.is_unspecified()) {
                return Err(ZoneError::Unspecified(server.name.clone(), *nowhere));
            }
            if apex.zone_of(&LowerName::new(&name)) {
                if server.addresses.is_empty() {
                    return Err(ZoneError::NoAddress(server.name.clone()));
                }
                if usize::from(name.num_labels()) > apex_labels + 1 {
                    return Err(ZoneError::TooDeep(server.name.clone()));
                }
            }
            if nameservers.iter().any(|(other, _)| *other == name) {
                return Err(ZoneError::Twice(server.name.clone()));
            }
            nameservers.push((name, server.addresses.clone()));
        }
        if nameservers.is_empty() {
            return Err(ZoneError::NoNameServer);
        }
        let mailbox = domain("mailbox", &config.mailbox)?;
        let times = [("refresh", config.refresh), ("retry", config.retry), ("expire", config.expire)];
        let ttls = config.ttls;
        let lifetimes = [
            ("primary ttl", ttls.primary),
            ("replica ttl", ttls.replica),
            ("member ttl", ttls.member),
            ("zone ttl", ttls.zone),
            ("negative ttl", ttls.negative),
        ];
        if let Some((field, _)) = times.into_iter().chain(lifetimes).find(|(_, seconds)| i32::try_from(*seconds).is_err()) {
            return Err(ZoneError::TooLong(field));
        }
        Ok(Self { apex, apex_labels, nameservers, mailbox, config })
    }

    /// The zone's name, without the final dot.
    pub fn name(&self) -> &str {
        self.config.apex.trim_end_matches('.')
    }
}

fn domain(field: &'static str, text: &str) -> Result<Name, ZoneError> {
    let mut name = Name::from_ascii(text).map_err(|e| ZoneError::Name { field, name: text.to_owned(), why: e.to_string() })?;
    name.set_fqdn(true);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, addresses: &[&str]) -> NameServer {
        NameServer { name: name.into(), addresses: addresses.iter().map(|a| a.parse().unwrap()).collect() }
    }

    #[test]
    fn refuses_what_cannot_be_served() {
        let one = vec![server("ns1.db.example.org", &["192.0.2.1"])];
        assert!(Zone::new(ZoneConfig::new("db.example.org", one.clone())).is_ok());
        assert_eq!(Zone::new(ZoneConfig::new(".", one.clone())), Err(ZoneError::Root));
        assert_eq!(Zone::new(ZoneConfig::new("db.example.org", vec![])), Err(ZoneError::NoNameServer));
        let bare = vec![server("ns1.db.example.org", &[])];
        assert_eq!(Zone::new(ZoneConfig::new("db.example.org", bare)), Err(ZoneError::NoAddress("ns1.db.example.org".into())));
        let elsewhere = vec![server("ns1.example.net", &[])];
        assert!(Zone::new(ZoneConfig::new("db.example.org", elsewhere)).is_ok());
        for nowhere in ["0.0.0.0", "::"] {
            let refused = Zone::new(ZoneConfig::new("db.example.org", vec![server("ns.example.net", &["192.0.2.1", nowhere])]));
            assert_eq!(refused, Err(ZoneError::Unspecified("ns.example.net".into(), nowhere.parse().unwrap())));
        }
        let deep = vec![server("primary.c1.db.example.org", &["192.0.2.1"])];
        assert_eq!(
            Zone::new(ZoneConfig::new("db.example.org", deep)),
            Err(ZoneError::TooDeep("primary.c1.db.example.org".into()))
        );
        let twice = vec![server("ns1.db.example.org", &["192.0.2.1"]), server("NS1.db.example.org.", &["192.0.2.2"])];
        assert_eq!(Zone::new(ZoneConfig::new("db.example.org", twice)), Err(ZoneError::Twice("NS1.db.example.org.".into())));
        let long = format!("{}.org", "x".repeat(64));
        assert!(matches!(Zone::new(ZoneConfig::new(long, one.clone())), Err(ZoneError::Name { field: "zone", .. })));
        let mut config = ZoneConfig::new("db.example.org", one);
        config.ttls.negative = u32::MAX;
        assert_eq!(Zone::new(config), Err(ZoneError::TooLong("negative ttl")));
    }
}
