//! `tanist/epoch`: what is added to the store's acquisition numbers, so that epochs go on rising after the store was replaced.

use crate::{DecodeError, dcs_text, fields::Fields};
use serde::Serialize;
use tanist_engine::Epoch;

/// The key's value. An absent key means a base of zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochKey {
    /// The base.
    pub base: Epoch,
}

#[derive(Serialize)]
struct Json {
    base: u64,
}

impl EpochKey {
    const KEY: &'static str = "tanist/epoch";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        Ok(Self { base: fields.epoch("base")? })
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self { base } = self;
        dcs_text(&Json { base: base.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(EpochKey::decode(br#"{"base":1000}"#).unwrap().encode(), r#"{"base":1000}"#);
        assert_eq!(EpochKey::decode(b"{}").unwrap_err().to_string(), "tanist/epoch: base is missing");
        assert!(EpochKey::decode(br#"{"base":-1}"#).is_err());
    }
}
