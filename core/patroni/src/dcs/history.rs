//! `history`: the timelines of the cluster, one line each, oldest first.

use crate::{DecodeError, dcs_text, fields};
use serde_json::{Value, json};
use tanist_engine::{Lsn, Timeline};

/// The key's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryKey {
    /// Its lines.
    pub lines: Vec<HistoryLine>,
}

/// One line: a timeline that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryLine {
    /// Its number.
    pub timeline: Timeline,
    /// Where it ended.
    pub lsn: Lsn,
    /// PostgreSQL's own words for why.
    pub reason: String,
    /// When the next one began, in ISO 8601; not known for lines that come from a history file only.
    pub at: Option<String>,
    /// Who opened the next one.
    pub leader: Option<String>,
}

impl HistoryKey {
    const KEY: &'static str = "history";
    /// Most lines that are read.
    const MAX_LINES: usize = 10_000;

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wrong = |field: String, expected| DecodeError::Wrong { key: Self::KEY, field, expected };
        match fields::parse(Self::KEY, bytes)? {
            Value::Array(list) if list.len() <= Self::MAX_LINES => {
                let line = |(index, value)| HistoryLine::of(value).ok_or_else(|| wrong(format!("[{index}]"), HistoryLine::FORM));
                Ok(Self { lines: list.into_iter().enumerate().map(line).collect::<Result<_, _>>()? })
            }
            _ => Err(wrong(String::new(), "a list of at most 10000 lines")),
        }
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        dcs_text(&self.rows())
    }

    /// The rows, as the REST path `/history` shows them too.
    pub fn rows(&self) -> Vec<Value> {
        let Self { lines } = self;
        lines.iter().map(HistoryLine::row).collect()
    }
}

impl HistoryLine {
    const FORM: &'static str = "[timeline, position, reason] and then, optionally, time and leader";

    fn of(value: Value) -> Option<Self> {
        let Value::Array(row) = value else { return None };
        let mut row = row.into_iter();
        let timeline = Timeline(u32::try_from(row.next()?.as_u64()?).ok()?);
        let lsn = Lsn(row.next()?.as_u64()?);
        let Value::String(reason) = row.next()? else { return None };
        let mut optional = || match row.next() {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text)),
            Some(_) => None,
        };
        Some(Self { timeline, lsn, reason, at: optional()?, leader: optional()? })
    }

    fn row(&self) -> Value {
        let Self { timeline, lsn, reason, at, leader } = self;
        match (at, leader) {
            (None, None) => json!([timeline.0, lsn.0, reason]),
            (Some(at), None) => json!([timeline.0, lsn.0, reason, at]),
            (at, Some(leader)) => json!([timeline.0, lsn.0, reason, at, leader]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named() {
        let error = HistoryKey::decode(br#"[[1,2,"x"],[1,"2","x"]]"#).unwrap_err();
        assert_eq!(error.to_string(), "history: [1] must be [timeline, position, reason] and then, optionally, time and leader");
        assert!(HistoryKey::decode(br#"{"lines":[]}"#).is_err());
        assert!(HistoryKey::decode(br#"[[4294967296,2,"x"]]"#).is_err());
    }
}
