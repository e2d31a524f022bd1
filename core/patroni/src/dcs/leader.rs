//! `leader`: the name of the member that holds the lock, as plain text.

use crate::{DecodeError, fields};
use tanist_engine::MemberName;

/// The key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderKey {
    /// The holder.
    pub name: MemberName,
}

impl LeaderKey {
    const KEY: &'static str = "leader";

    /// Reads it. An empty value is an error, not "nobody": absence is told by the store.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let name = fields::member_name(Self::KEY, "", fields::plain_text(Self::KEY, bytes)?)?;
        Ok(Self { name })
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self { name } = self;
        name.to_string()
    }
}
