//! `history`: the timelines of the cluster that ended, one line each, oldest first.

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

    /// From PostgreSQL's own history of the present timeline. Its lines know neither time nor leader: those of equal lines stay as they
    /// were written, and the last one, if it is new, has been `opened` then and by this leader.
    pub fn rebuilt(file: Vec<HistoryLine>, known: &Self, opened: (Option<String>, String)) -> Self {
        let equal =
            |line: &HistoryLine| known.lines.iter().find(|known| (known.timeline, known.lsn) == (line.timeline, line.lsn));
        let mut lines: Vec<HistoryLine> = file
            .into_iter()
            .map(|line| match equal(&line) {
                Some(HistoryLine { at, leader, .. }) => HistoryLine { at: at.clone(), leader: leader.clone(), ..line },
                None => line,
            })
            .collect();
        if let Some(last) = lines.last_mut().filter(|last| last.leader.is_none()) {
            let (at, leader) = opened;
            (last.at, last.leader) = (at, Some(leader));
        }
        Self { lines }
    }

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

    fn line(timeline: u32, lsn: u64) -> HistoryLine {
        let reason = "no recovery target specified".to_owned();
        HistoryLine { timeline: Timeline(timeline), lsn: Lsn(lsn), reason, at: None, leader: None }
    }

    fn told(line: HistoryLine, at: &str, leader: &str) -> HistoryLine {
        HistoryLine { at: Some(at.to_owned()), leader: Some(leader.to_owned()), ..line }
    }

    #[test]
    fn rows_are_those_of_postgresql() {
        let opened = |at: &str| (Some(at.to_owned()), "b".to_owned());
        let nothing = HistoryKey::default();
        // A promotion that failed had claimed timeline 2; the leader that opened 4 was lost before it had written a line.
        let file = vec![line(1, 10), line(4, 40)];
        let first = HistoryKey::rebuilt(file.clone(), &nothing, opened("noon"));
        assert_eq!(first.lines, [line(1, 10), told(line(4, 40), "noon", "b")]);
        assert_eq!(HistoryKey::rebuilt(file.clone(), &first, opened("later")), first, "known lines stay");

        let known = HistoryKey { lines: vec![told(line(1, 10), "dawn", "a"), told(line(4, 39), "dawn", "a"), line(7, 70)] };
        let mended = HistoryKey::rebuilt(file, &known, opened("noon"));
        assert_eq!(mended.lines, [told(line(1, 10), "dawn", "a"), told(line(4, 40), "noon", "b")], "of another history");
        assert_eq!(HistoryKey::rebuilt(Vec::new(), &known, opened("noon")), nothing, "a new cluster");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = HistoryKey::decode(br#"[[1,2,"x"],[1,"2","x"]]"#).unwrap_err();
        assert_eq!(error.to_string(), "history: [1] must be [timeline, position, reason] and then, optionally, time and leader");
        assert!(HistoryKey::decode(br#"{"lines":[]}"#).is_err());
        assert!(HistoryKey::decode(br#"[[4294967296,2,"x"]]"#).is_err());
    }
}
