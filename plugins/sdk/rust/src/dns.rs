//! Names in an external DNS server.

use crate::Error;
pub use crate::bindings::tanist::plugin::dns::{DnsError, DnsRecord, Outcome, RecordKind, lookup, point};

/// Whether another attempt may help.
impl From<DnsError> for Error {
    fn from(error: DnsError) -> Self {
        match error {
            DnsError::NotGranted(remedy) => Self::Permanent(format!("not granted; add to the configuration: {remedy}")),
            DnsError::Fenced(epoch) => Self::Fenced(epoch),
            DnsError::NotLeader => Self::Transient("this node does not hold the lease for long enough".to_owned()),
            DnsError::Expired => Self::Transient("the call has expired".to_owned()),
            DnsError::Unreachable(text) => Self::Transient(format!("DNS server not reached: {text}")),
            DnsError::Unknown(text) => Self::Transient(format!("DNS update sent, outcome unknown: {text}")),
            DnsError::Refused(text) => Self::Permanent(format!("DNS server refused: {text}")),
            DnsError::Invalid(text) => Self::Permanent(text),
            DnsError::Other(text) => Self::Other(text),
        }
    }
}
