//! `status`: how far the leader's write-ahead log is, and where its replication slots are.

use crate::{DecodeError, dcs_text, fields::Fields};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tanist_engine::Lsn;

/// The key's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusKey {
    /// The leader's position when it last wrote.
    pub optime: Option<Lsn>,
    /// Position of each slot that the replicas keep too.
    pub slots: BTreeMap<String, Lsn>,
    /// Slots of members whose key is gone, kept for a while.
    pub retain_slots: BTreeSet<String>,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    optime: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    slots: BTreeMap<&'a str, u64>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    retain_slots: &'a BTreeSet<String>,
}

impl StatusKey {
    const KEY: &'static str = "status";
    /// Most slots that are read; PostgreSQL's default for `max_replication_slots` is 10.
    const MAX_SLOTS: usize = 4096;

    /// Reads it. Patroni of old wrote the bare number.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if let Ok(number) = std::str::from_utf8(bytes).unwrap_or_default().trim().parse() {
            return Ok(Self { optime: Some(Lsn(number)), ..Self::default() });
        }
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let optime = fields.lsn("optime")?;
        let map = fields.map("slots")?;
        if map.len() > Self::MAX_SLOTS {
            return Err(fields.wrong("slots", "at most 4096 slots"));
        }
        let mut slots = BTreeMap::new();
        for (name, value) in map {
            let position =
                value.as_u64().ok_or_else(|| fields.wrong(&format!("slots.{name}"), "a whole number, not negative"))?;
            slots.insert(name, Lsn(position));
        }
        let retain_slots = match fields.take("retain_slots") {
            None => BTreeSet::new(),
            Some(Value::Array(list)) if list.len() <= Self::MAX_SLOTS => {
                let names = list.into_iter().map(|value| if let Value::String(name) = value { Some(name) } else { None });
                names.collect::<Option<_>>().ok_or_else(|| fields.wrong("retain_slots", "a list of slot names"))?
            }
            Some(_) => return Err(fields.wrong("retain_slots", "a list of at most 4096 slot names")),
        };
        Ok(Self { optime, slots, retain_slots })
    }

    /// Writes it; what is empty is left out.
    pub fn encode(&self) -> String {
        let Self { optime, slots, retain_slots } = self;
        let slots = slots.iter().map(|(name, lsn)| (name.as_str(), lsn.0)).collect();
        dcs_text(&Json { optime: optime.map(|lsn| lsn.0), slots, retain_slots })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_form_is_a_number() {
        assert_eq!(StatusKey::decode(b"67197376").unwrap().optime, Some(Lsn(67_197_376)));
    }

    #[test]
    fn wrong_types_are_named() {
        for (text, message) in [
            (r#"{"optime":-1}"#, "status: optime must be a whole number, not negative"),
            (r#"{"slots":{"a":"x"}}"#, "status: slots.a must be a whole number, not negative"),
            (r#"{"slots":[]}"#, "status: slots must be a JSON object"),
            (r#"{"retain_slots":[1]}"#, "status: retain_slots must be a list of slot names"),
        ] {
            assert_eq!(StatusKey::decode(text.as_bytes()).unwrap_err().to_string(), message);
        }
    }
}
