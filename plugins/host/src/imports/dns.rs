//! `dns`: requests to the agent, which holds the keys, checks the claim and sends the update.

use crate::{
    bindings::dns::{self, DnsError, DnsRecord, Outcome, RecordKind},
    guest::Guest,
};
use tanist_broker::protocol::{self, Denial, DnsPointed, Op, Reply};

/// Longest name in DNS, as text; the server's own rules come later.
const MAX_NAME: usize = 255;
/// More addresses than any name needs; the agent allows fewer.
const MAX_ADDRESSES: usize = 64;

impl dns::Host for Guest {
    async fn lookup(&mut self, name: String, kind: RecordKind) -> wasmtime::Result<Result<Vec<DnsRecord>, DnsError>> {
        if name.len() > MAX_NAME {
            return Ok(Err(DnsError::Invalid(format!("a name of {} bytes", name.len()))));
        }
        let kind = match kind {
            RecordKind::A => protocol::RecordKind::A,
            RecordKind::Aaaa => protocol::RecordKind::Aaaa,
            RecordKind::Txt => protocol::RecordKind::Txt,
            RecordKind::Other(word) => return Ok(Err(DnsError::Invalid(format!("records of kind {word:.20} cannot be read")))),
        };
        Ok(match self.ask(Op::DnsLookup { name, kind }).await? {
            Ok(Reply::DnsLookup(records)) => Ok(records.into_iter().map(record).collect()),
            Ok(Reply::DnsPoint(_) | Reply::Leadership(_) | Reply::Http(_)) => Err(mismatch()),
            Err(denial) => Err(refusal(denial)),
        })
    }

    async fn point(
        &mut self,
        name: String,
        addresses: Vec<String>,
        ttl: u32,
        epoch: u64,
    ) -> wasmtime::Result<Result<Outcome, DnsError>> {
        if name.len() > MAX_NAME || addresses.len() > MAX_ADDRESSES {
            return Ok(Err(DnsError::Invalid(format!("a name of {} bytes with {} addresses", name.len(), addresses.len()))));
        }
        let mut parsed = Vec::with_capacity(addresses.len());
        for address in addresses {
            match address.parse() {
                Ok(address) => parsed.push(address),
                Err(_) => return Ok(Err(DnsError::Invalid(format!("{address:.60} is no IP address")))),
            }
        }
        Ok(match self.ask(Op::DnsPoint { name, addresses: parsed, ttl, epoch }).await? {
            Ok(Reply::DnsPoint(DnsPointed::Applied)) => Ok(Outcome::Changed),
            Ok(Reply::DnsPoint(DnsPointed::AlreadyThere)) => Ok(Outcome::Unchanged),
            Ok(Reply::DnsLookup(_) | Reply::Leadership(_) | Reply::Http(_)) => Err(mismatch()),
            Err(denial) => Err(refusal(denial)),
        })
    }
}

fn record(record: protocol::DnsRecord) -> DnsRecord {
    match record {
        protocol::DnsRecord::Address { address, ttl } => DnsRecord { data: address.to_string(), ttl },
        protocol::DnsRecord::Text { text, ttl } => DnsRecord { data: text, ttl },
    }
}

/// The agent answered another question; nothing is known.
fn mismatch() -> DnsError {
    DnsError::Unknown("the agent's answer does not fit the request".to_owned())
}

fn refusal(denial: Denial) -> DnsError {
    match denial {
        Denial::NotGranted { what: _, remedy } => DnsError::NotGranted(remedy),
        Denial::StaleEpoch { asked: _, current } => DnsError::Fenced(current),
        Denial::Fenced { newer_epoch } => DnsError::Fenced(newer_epoch),
        Denial::NotLeader | Denial::NotProved { .. } | Denial::LeaseTooShort { .. } => DnsError::NotLeader,
        Denial::Expired => DnsError::Expired,
        Denial::Invalid(text) => DnsError::Invalid(text),
        Denial::Refused(text) => DnsError::Refused(text),
        Denial::Unknown(text) => DnsError::Unknown(text),
        Denial::Unreachable(text) => DnsError::Unreachable(text),
        other @ (Denial::TooMany { .. } | Denial::Unavailable(_)) => DnsError::Other(other.to_string()),
    }
}
