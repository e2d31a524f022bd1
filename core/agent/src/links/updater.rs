//! The `dns` capability of plugins, carried out: the broker's trait over the RFC 2136 client, and the only place that holds TSIG keys.

use crate::config::TsigKeySetting;
use async_trait::async_trait;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tanist_broker::{
    DnsClaim, DnsFailure, DnsOutcome, DnsPresent, DnsTarget, DnsUpdater,
    protocol::{DnsRecord, RecordKind},
};
use tanist_dns::update::{self, Algorithm, KeyError, LookupError, Outcome, Request, TsigKey};
use tanist_engine::Epoch;

/// Keys by name.
pub struct Updater {
    node: String,
    keys: BTreeMap<String, TsigKey>,
}

impl Updater {
    /// Signs nothing yet. `node` stands in the generation record, for people.
    pub fn new(node: String) -> Self {
        Self { node, keys: BTreeMap::new() }
    }

    /// Adds a key.
    pub fn key(&mut self, key: &TsigKeySetting) -> Result<(), KeyError> {
        let TsigKeySetting { name, algorithm, secret } = key;
        let algorithm: Algorithm = algorithm.parse()?;
        self.keys.insert(name.clone(), TsigKey::new(name, algorithm, secret.expose())?);
        Ok(())
    }

    fn server(target: &DnsTarget) -> Result<SocketAddr, String> {
        target.server.parse().map_err(|_| format!("{} is not an address with a port", target.server))
    }
}

#[async_trait]
impl DnsUpdater for Updater {
    async fn point(&self, claim: DnsClaim, within: Duration) -> DnsOutcome {
        let DnsClaim { target, name, addresses, ttl, epoch } = claim;
        let server = match Self::server(&target) {
            Ok(server) => server,
            Err(text) => return DnsOutcome::Refused(text),
        };
        let key = match &target.key {
            None => None,
            Some(name) => match self.keys.get(name) {
                Some(key) => Some(key.clone()),
                // Never downgraded to an unsigned update.
                None => return DnsOutcome::Refused(format!("there is no key {name}")),
            },
        };
        let request = Request {
            servers: vec![server],
            read_back: Vec::new(),
            zone: target.zone,
            name,
            addresses,
            ttl,
            epoch: Epoch(epoch),
            node: self.node.clone(),
            generation: None,
            key,
        };
        match update::point(&request, within).await {
            Outcome::Applied { .. } => DnsOutcome::Applied,
            Outcome::AlreadyThere => DnsOutcome::AlreadyThere,
            Outcome::Fenced { newer } => DnsOutcome::Fenced { newer_epoch: newer.epoch.0 },
            Outcome::Refused { code: Some(code), text } => DnsOutcome::Refused(format!("{code}: {text}")),
            Outcome::Refused { code: None, text } => DnsOutcome::Refused(text),
            Outcome::Unknown(text) => DnsOutcome::Unknown(text),
            Outcome::Unreachable(text) => DnsOutcome::Unreachable(text),
        }
    }

    async fn present(&self, target: DnsTarget, name: String, within: Duration) -> Result<DnsPresent, DnsFailure> {
        let server = Self::server(&target).map_err(DnsFailure::Refused)?;
        let half = within / 2;
        let generation = match update::generation(server, &format!("_tanist.{name}"), half).await {
            Ok(generation) => generation,
            // Nobody's claim, or what a wildcard answers. The next claim finds out which.
            Err(LookupError::Foreign { .. }) => None,
            Err(error) => return Err(failure(error)),
        };
        let found = update::lookup(server, &name, half).await.map_err(failure)?;
        let mut addresses = found.addresses;
        addresses.sort_unstable();
        Ok(DnsPresent { epoch: generation.map(|generation| generation.epoch.0), addresses })
    }

    async fn lookup(
        &self,
        target: DnsTarget,
        name: String,
        kind: RecordKind,
        within: Duration,
    ) -> Result<Vec<DnsRecord>, DnsFailure> {
        let server = Self::server(&target).map_err(DnsFailure::Refused)?;
        if kind == RecordKind::Txt {
            let generation = update::generation(server, &name, within).await.map_err(failure)?;
            return Ok(generation.map(|found| DnsRecord::Text { text: found.to_string(), ttl: 0 }).into_iter().collect());
        }
        let found = update::lookup(server, &name, within).await.map_err(failure)?;
        let wanted = found.addresses.iter().filter(|address| address.is_ipv4() == (kind == RecordKind::A));
        let ttl = found.ttl.unwrap_or(0);
        Ok(wanted.map(|address| DnsRecord::Address { address: *address, ttl }).collect())
    }
}

fn failure(error: LookupError) -> DnsFailure {
    match error {
        LookupError::Name(_) => DnsFailure::Refused(error.to_string()),
        _ => DnsFailure::Unreachable(error.to_string()),
    }
}
