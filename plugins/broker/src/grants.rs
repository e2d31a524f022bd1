//! What the operator grants a plugin, and whether a request of the plugin lies within it.
//!
//! [`Grants::check`] is the one place every host request passes. It is pure: leadership and time are arguments. A claim (something
//! that draws clients here) needs the grant, the current epoch, a proved endpoint, and more lease than the call has time. What is
//! not granted is answered with the configuration line that would grant it.

use crate::{
    DnsTarget, HttpExchange, HttpGrant, Leadership, http,
    protocol::{Denial, Import, Op, PluginId},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tanist_engine::Moment;

/// Most addresses one name may be given.
const MAX_ADDRESSES: usize = 16;

/// The operator's grants to one plugin. A list replaces, it never adds to something granted elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// May ask for the epoch and the lease.
    pub leadership: bool,
    /// The names it may read and move.
    pub dns: Vec<DnsGrant>,
    /// The requests it may have sent.
    pub http: Vec<HttpGrant>,
}

/// Names in one zone of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsGrant {
    /// The primary server of the zone, `address:port`.
    pub server: String,
    /// The zone.
    pub zone: String,
    /// The names: each exact, or `*.` and a suffix for everything below it.
    pub names: Vec<String>,
    /// The name of the TSIG key in the agent's configuration. The key itself never comes near a plugin.
    #[serde(default)]
    pub key: Option<String>,
    /// The only addresses a name may be given; empty: any.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// What a request is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The epoch of the event the call was made for.
    pub call_epoch: u64,
    /// When the call must have ended.
    pub call_deadline: Moment,
    /// Leadership now.
    pub leadership: Leadership,
    /// The newest epoch at which this node was proved writable and published; 0: none.
    pub proved: u64,
    /// Now.
    pub now: Moment,
}

/// A request that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Answer from what is known.
    Leadership,
    /// Move the name.
    DnsPoint {
        /// Where.
        target: DnsTarget,
        /// Name in canonical form (lower case, no dot at the end).
        name: String,
        /// Sorted, without repetition.
        addresses: Vec<IpAddr>,
    },
    /// Read the name.
    DnsLookup {
        /// Where.
        target: DnsTarget,
        /// Name in canonical form.
        name: String,
    },
    /// Send those that passed.
    Http(Vec<Result<HttpExchange, Denial>>),
}

impl Grants {
    /// The interfaces that are linked for the plugin: those that touch nothing, and those granted.
    pub fn imports(&self) -> BTreeSet<Import> {
        let granted =
            [(Import::Leadership, self.leadership), (Import::Dns, !self.dns.is_empty()), (Import::Http, !self.http.is_empty())];
        [Import::Log, Import::Config]
            .into_iter()
            .chain(granted.into_iter().filter(|(_, yes)| *yes).map(|(import, _)| import))
            .collect()
    }

    /// The configuration line that grants an import to a plugin.
    pub fn remedy(plugin: &PluginId, import: Import) -> String {
        match import {
            Import::Log | Import::Config => "nothing; it is always granted".to_owned(),
            Import::Leadership => format!("plugins.{plugin}.grants.leadership: true"),
            Import::Http => format!("plugins.{plugin}.grants.http: [{{url: URL, methods: [POST]}}]"),
            Import::Dns => {
                let key = "tsig_key: {name: KEY, secret_file: FILE}";
                format!("plugins.{plugin}.grants.dns: [{{server: ADDRESS:PORT, zone: ZONE, names: [NAME], {key}}}]")
            }
        }
    }

    /// Whether `op` may be carried out.
    pub fn check(&self, plugin: &PluginId, op: &Op, standing: &Standing) -> Result<Permit, Denial> {
        if standing.now >= standing.call_deadline {
            return Err(Denial::Expired);
        }
        match op {
            Op::Leadership if self.leadership => Ok(Permit::Leadership),
            Op::Leadership => {
                Err(Denial::NotGranted { what: "leadership".to_owned(), remedy: Self::remedy(plugin, Import::Leadership) })
            }
            Op::DnsLookup { name, kind: _ } => {
                let name = canonical(name)?;
                let target = self.dns_grant(plugin, &name)?.target();
                Ok(Permit::DnsLookup { target, name })
            }
            Op::DnsPoint { name, addresses, ttl: _, epoch } => {
                let name = canonical(name)?;
                let grant = self.dns_grant(plugin, &name)?;
                let addresses = grant.addresses_of(plugin, &name, addresses)?;
                claim(*epoch, standing)?;
                Ok(Permit::DnsPoint { target: grant.target(), name, addresses })
            }
            Op::Http { requests } => Ok(Permit::Http(http::permit(&self.http, plugin, requests, standing)?)),
        }
    }

    fn dns_grant(&self, plugin: &PluginId, name: &str) -> Result<&DnsGrant, Denial> {
        self.dns.iter().find(|grant| grant.covers(name)).ok_or_else(|| Denial::NotGranted {
            what: format!("dns name {name}"),
            remedy: format!("plugins.{plugin}.grants.dns: [{{…, names: [{name}]}}]"),
        })
    }
}

impl DnsGrant {
    fn covers(&self, name: &str) -> bool {
        let Ok(zone) = canonical(&self.zone) else { return false };
        below(name, &zone) && self.names.iter().any(|pattern| matches(pattern, name))
    }

    fn target(&self) -> DnsTarget {
        DnsTarget { server: self.server.clone(), zone: self.zone.clone(), key: self.key.clone() }
    }

    fn addresses_of(&self, plugin: &PluginId, name: &str, asked: &[IpAddr]) -> Result<Vec<IpAddr>, Denial> {
        let addresses: BTreeSet<IpAddr> = asked.iter().copied().collect();
        if addresses.is_empty() {
            return Err(Denial::Invalid(format!("{name} would be left without an address")));
        }
        if asked.len() > MAX_ADDRESSES {
            return Err(Denial::TooMany { what: "addresses of a name".to_owned(), limit: 16 });
        }
        if let Some(useless) = addresses.iter().find(|address| address.is_unspecified() || address.is_multicast()) {
            return Err(Denial::Invalid(format!("{useless} is not the address of a server")));
        }
        match addresses.iter().find(|address| !self.addresses.is_empty() && !self.addresses.contains(address)) {
            Some(foreign) => Err(Denial::NotGranted {
                what: format!("address {foreign} for {name}"),
                remedy: format!("plugins.{plugin}.grants.dns: [{{…, addresses: [{foreign}]}}]"),
            }),
            None => Ok(addresses.into_iter().collect()),
        }
    }
}

/// Whether a claim in the name of `epoch` may go out now.
pub(crate) fn claim(epoch: u64, standing: &Standing) -> Result<(), Denial> {
    let Standing { call_epoch, call_deadline, leadership, proved, now } = *standing;
    let current = leadership.epoch.0;
    if epoch != current || call_epoch != current {
        return Err(Denial::StaleEpoch { asked: if epoch == current { call_epoch } else { epoch }, current });
    }
    let until = leadership.lease_until.ok_or(Denial::NotLeader)?;
    if proved != current {
        return Err(Denial::NotProved { epoch });
    }
    let (left, needed) = (until.since(now), call_deadline.since(now));
    if left < needed {
        return Err(Denial::LeaseTooShort { left_ms: millis(left), needed_ms: millis(needed) });
    }
    Ok(())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Lower case, no dot at the end; only names of ordinary host-name letters (and the underscore) pass.
fn canonical(name: &str) -> Result<String, Denial> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if bare.len() <= 253 && bare.split('.').all(label) {
        Ok(bare.to_ascii_lowercase())
    } else {
        Err(Denial::Invalid(format!("{:?} is not a DNS name", name.chars().take(64).collect::<String>())))
    }
}

fn below(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => canonical(suffix).is_ok_and(|suffix| name != suffix && below(name, &suffix)),
        None => canonical(pattern).is_ok_and(|exact| exact == name),
    }
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
