//! `tanist/timelines`: which epoch opened which timeline, and where. A number is claimed here before PostgreSQL opens it.

use crate::{DecodeError, dcs_text, fields, fields::Fields};
use serde::Serialize;
use serde_json::Value;
use tanist_engine::TimelineClaim;

/// The key's value, in the order of the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelinesKey {
    /// The claims.
    pub claims: Vec<TimelineClaim>,
}

#[derive(Serialize)]
struct Json {
    number: u32,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    begin: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
}

impl TimelinesKey {
    const KEY: &'static str = "tanist/timelines";
    /// Most claims that are read; a value of [`crate::MAX_VALUE`] bytes holds about 4,000.
    const MAX_CLAIMS: usize = 10_000;

    /// Reads it. Numbers must rise and epochs must not fall: positions are compared by this list.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wrong = |expected| DecodeError::Wrong { key: Self::KEY, field: String::new(), expected };
        let list = match fields::parse(Self::KEY, bytes)? {
            Value::Array(list) if list.len() <= Self::MAX_CLAIMS => list,
            _ => return Err(wrong("a list of at most 10000 claims")),
        };
        let mut claims: Vec<TimelineClaim> = Vec::with_capacity(list.len());
        for value in list {
            let mut fields = Fields::of(Self::KEY, value)?;
            let timeline = fields.timeline("number")?.ok_or_else(|| fields.missing("number"))?;
            let (epoch, begin, parent) = (fields.epoch("epoch")?, fields.lsn("begin")?, fields.timeline("parent")?);
            let claim = TimelineClaim { timeline, epoch, begin, parent };
            if claims.last().is_some_and(|last| last.timeline >= claim.timeline || last.epoch > claim.epoch) {
                return Err(wrong("in rising order of number and epoch"));
            }
            claims.push(claim);
        }
        Ok(Self { claims })
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self { claims } = self;
        let json = |claim: &TimelineClaim| {
            let TimelineClaim { timeline, epoch, begin, parent } = *claim;
            Json { number: timeline.0, epoch: epoch.0, begin: begin.map(|lsn| lsn.0), parent: parent.map(|parent| parent.0) }
        };
        dcs_text(&claims.iter().map(json).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let text = r#"[{"number":1,"epoch":4,"begin":0},{"number":2,"epoch":9},{"number":3,"epoch":12,"begin":70,"parent":1}]"#;
        assert_eq!(TimelinesKey::decode(text.as_bytes()).unwrap().encode(), text);
    }

    #[test]
    fn disorder_is_refused() {
        for text in [
            r#"[{"number":2,"epoch":4},{"number":2,"epoch":9}]"#,
            r#"[{"number":1,"epoch":9},{"number":2,"epoch":4}]"#,
            r#"[{"number":1}]"#,
            r#"[1]"#,
            r#"{}"#,
        ] {
            assert!(TimelinesKey::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
