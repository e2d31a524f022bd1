//! `tanist/handoff`: the leader released the lease in favour of somebody, who gets a head start.

use crate::{DecodeError, dcs_text, fields::Fields};
use serde::Serialize;
use tanist_engine::Handoff;

/// The key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffKey(pub Handoff);

#[derive(Serialize)]
struct Json<'a> {
    to: &'a str,
    epoch: u64,
}

impl HandoffKey {
    const KEY: &'static str = "tanist/handoff";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let to = fields.name("to")?.ok_or_else(|| fields.missing("to"))?;
        Ok(Self(Handoff { to, epoch: fields.epoch("epoch")? }))
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self(Handoff { to, epoch }) = self;
        dcs_text(&Json { to: &to.0, epoch: epoch.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let text = r#"{"to":"b","epoch":11}"#;
        assert_eq!(HandoffKey::decode(text.as_bytes()).unwrap().encode(), text);
        assert_eq!(HandoffKey::decode(br#"{"epoch":11}"#).unwrap_err().to_string(), "tanist/handoff: to is missing");
    }
}
