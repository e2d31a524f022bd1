//! Reading a name from one server.

use super::{
    Generation,
    decide::Present,
    exchange::{Connection, mnemonic},
};
use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RecordType},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::Instant;

/// The addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4, then IPv6, in the order of the answers; empty: the name does not exist or has none.
    pub addresses: Vec<IpAddr>,
    /// The smallest TTL of them.
    pub ttl: Option<u32>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Not a domain name.
    #[error("{0:?} is not a domain name")]
    Name(String),
    /// No connection, no answer in time, or an answer that says nothing.
    #[error("{0}")]
    NoAnswer(String),
    /// The generation record holds something else.
    #[error("the generation record {owner} holds something else: {text:?}")]
    Foreign {
        /// Its name.
        owner: String,
        /// Its content, shortened.
        text: String,
    },
}

/// Asks a server for the addresses of a name, over TCP, without recursion.
pub async fn lookup(server: SocketAddr, name: &str, timeout: Duration) -> Result<Addresses, LookupError> {
    let name = absolute(name).ok_or_else(|| LookupError::Name(name.to_owned()))?;
    let deadline = Instant::now() + timeout;
    let mut connection = Connection::open(server, deadline).await.map_err(LookupError::NoAnswer)?;
    let (addresses, ttl) = connection.addresses(&name).await.map_err(LookupError::NoAnswer)?;
    Ok(Addresses { addresses, ttl })
}

/// Asks a server for a generation record; `None`: there is none.
pub async fn generation(server: SocketAddr, owner: &str, timeout: Duration) -> Result<Option<Generation>, LookupError> {
    let name = absolute(owner).ok_or_else(|| LookupError::Name(owner.to_owned()))?;
    let deadline = Instant::now() + timeout;
    let mut connection = Connection::open(server, deadline).await.map_err(LookupError::NoAnswer)?;
    let reading = connection.read(&name, RecordType::TXT).await.map_err(LookupError::NoAnswer)?;
    if !matches!(reading.code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Err(LookupError::NoAnswer(format!("{server}: {} for {name} TXT", mnemonic(reading.code))));
    }
    match Present::of(&reading.records) {
        Present::Absent => Ok(None),
        Present::Claimed { generation, .. } => Ok(Some(generation)),
        Present::Foreign(text) => Err(LookupError::Foreign { owner: owner.to_owned(), text }),
    }
}

/// A domain name, absolute with or without the final dot.
pub(super) fn absolute(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok().filter(|name| name.num_labels() > 0)?;
    name.set_fqdn(true);
    Some(name)
}
