//! `failsafe`: name and REST address of every member, for the mode in which the store may be away.

use crate::{DecodeError, dcs_text, fields};
use serde_json::Value;
use std::collections::BTreeMap;
use tanist_engine::MemberName;

/// The key's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailsafeKey {
    /// Base URL of each member's REST API.
    pub members: BTreeMap<MemberName, String>,
}

impl FailsafeKey {
    const KEY: &'static str = "failsafe";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Value::Object(object) = fields::parse(Self::KEY, bytes)? else {
            return Err(DecodeError::Wrong { key: Self::KEY, field: String::new(), expected: "a JSON object" });
        };
        let mut members = BTreeMap::new();
        for (name, value) in object {
            match value {
                Value::String(url) => members.insert(fields::member_name(Self::KEY, &name, &name)?, url),
                _ => return Err(DecodeError::Wrong { key: Self::KEY, field: name, expected: "a URL" }),
            };
        }
        Ok(Self { members })
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self { members } = self;
        dcs_text(&members.iter().map(|(name, url)| (name.0.as_str(), url.as_str())).collect::<BTreeMap<_, _>>())
    }
}
