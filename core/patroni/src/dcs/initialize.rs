//! `initialize`: the database system identifier, or an empty text while some node is bootstrapping the cluster.

use crate::{DecodeError, fields};

/// The key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitializeKey {
    /// A node has taken the bootstrap upon itself and has not finished.
    Bootstrapping,
    /// The cluster exists; this is its database system identifier.
    SystemId(String),
}

impl InitializeKey {
    const KEY: &'static str = "initialize";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = fields::plain_text(Self::KEY, bytes)?;
        if text.is_empty() {
            return Ok(Self::Bootstrapping);
        }
        if text.len() > 20 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DecodeError::Wrong {
                key: Self::KEY,
                field: String::new(),
                expected: "a database system identifier (digits)",
            });
        }
        Ok(Self::SystemId(text.to_owned()))
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        match self {
            Self::Bootstrapping => String::new(),
            Self::SystemId(system_id) => system_id.clone(),
        }
    }
}
