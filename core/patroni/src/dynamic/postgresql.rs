//! The section `postgresql` of the dynamic configuration.
//!
//! Its texts end up in files that PostgreSQL reads line by line, so names and values that could open a line of their own are refused.

use super::{DynamicNote, options};
use crate::{DecodeError, fields::Fields, scalar_text};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tanist_engine::Diverged;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicPostgresql {
    /// Parameters by name, as PostgreSQL reads them.
    pub parameters: BTreeMap<String, String>,
    /// Lines of pg_hba.conf; empty: not configured.
    pub pg_hba: Vec<String>,
    /// Replicas stream through replication slots.
    pub use_slots: bool,
    /// A diverged node is rewound rather than copied.
    pub use_pg_rewind: bool,
    /// Whether one that could not be rewound is copied anew; `None`: not configured.
    pub remove_on_rewind_failure: Option<bool>,
    /// Whether one that is not to be rewound is copied anew; `None`: not configured.
    pub remove_on_diverged_timelines: Option<bool>,
}

/// Parameters that must be the same on all nodes: Patroni takes them from the dynamic configuration alone.
const CLUSTER_WIDE: [&str; 11] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_worker_processes",
    "max_prepared_transactions",
    "wal_level",
    "track_commit_timestamp",
    "max_wal_senders",
    "max_replication_slots",
    "wal_keep_segments",
    "wal_keep_size",
    "wal_log_hints",
];

/// Whether a parameter is taken from the dynamic configuration alone.
pub fn is_cluster_wide(parameter: &str) -> bool {
    CLUSTER_WIDE.iter().any(|name| name.eq_ignore_ascii_case(parameter))
}

impl Default for DynamicPostgresql {
    fn default() -> Self {
        Self {
            parameters: BTreeMap::new(),
            pg_hba: Vec::new(),
            use_slots: true,
            use_pg_rewind: false,
            remove_on_rewind_failure: None,
            remove_on_diverged_timelines: None,
        }
    }
}

impl DynamicPostgresql {
    pub(super) fn read(mut fields: Fields, notes: &mut Vec<DynamicNote>) -> Result<Self, DecodeError> {
        let outer = |field: String, expected| fields_error(&field, expected);
        let mut parameters = parameter_map(fields.map("parameters").map_err(within)?)
            .map_err(|(name, expected)| outer(format!("parameters.{name}"), expected))?;
        replace_wal_keep_segments(&mut parameters, notes)?;
        let pg_hba = match fields.take("pg_hba") {
            None => Vec::new(),
            Some(value) => text_lines(value).ok_or_else(|| outer("pg_hba".to_owned(), "a list of lines of pg_hba.conf"))?,
        };
        let use_slots = fields.flag("use_slots").map_err(within)?.unwrap_or(true);
        let use_pg_rewind = fields.flag("use_pg_rewind").map_err(within)?.unwrap_or(false);
        let remove_on_rewind_failure = fields.flag("remove_data_directory_on_rewind_failure").map_err(within)?;
        let remove_on_diverged_timelines = fields.flag("remove_data_directory_on_diverged_timelines").map_err(within)?;
        options::report_rest(fields, "postgresql.", &options::POSTGRESQL, notes);
        Ok(Self { parameters, pg_hba, use_slots, use_pg_rewind, remove_on_rewind_failure, remove_on_diverged_timelines })
    }
}

impl DynamicPostgresql {
    /// What becomes of data that have left the cluster's history. What nobody has configured is as a cluster without anybody at the
    /// keyboard needs it: copied anew.
    pub fn diverged(&self) -> Diverged {
        Diverged {
            rewind: self.use_pg_rewind,
            copy: self.remove_on_diverged_timelines.unwrap_or(true),
            copy_after_failure: self.remove_on_rewind_failure.unwrap_or(true),
        }
    }
}

fn fields_error(field: &str, expected: &'static str) -> DecodeError {
    DecodeError::Wrong { key: super::DynamicConfig::KEY, field: format!("postgresql.{field}"), expected }
}

/// Puts the section's name before the field's.
fn within(error: DecodeError) -> DecodeError {
    match error {
        DecodeError::Wrong { key: _, field, expected } => fields_error(&field, expected),
        other => other,
    }
}

/// Parameters as text, names in small letters. On failure: which one, and what it must be. Null means "not set".
pub fn parameter_map(map: Map<String, Value>) -> Result<BTreeMap<String, String>, (String, &'static str)> {
    let mut parameters = BTreeMap::new();
    for (name, value) in map {
        let named = !name.is_empty()
            && name.len() <= 128
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        if !named {
            return Err((name, "a parameter name (letters, digits, _ and .)"));
        }
        if value.is_null() {
            continue;
        }
        match scalar_text(&value).filter(|text| text.len() <= 8192 && !text.chars().any(|c| matches!(c, '\n' | '\r' | '\0'))) {
            Some(text) => parameters.insert(name.to_ascii_lowercase(), text),
            None => return Err((name, "a text of one line, a number, on or off")),
        };
    }
    Ok(parameters)
}

/// A list of texts of one line each; `None` when it is anything else.
pub fn text_lines(value: Value) -> Option<Vec<String>> {
    let Value::Array(list) = value else { return None };
    let line = |value: Value| match value {
        Value::String(line) if line.len() <= 8192 && !line.chars().any(|c| matches!(c, '\n' | '\r' | '\0')) => Some(line),
        _ => None,
    };
    if list.len() > 10_000 { None } else { list.into_iter().map(line).collect() }
}

/// PostgreSQL 13 counts in bytes what used to be counted in segments, and does not start with the old name.
fn replace_wal_keep_segments(parameters: &mut BTreeMap<String, String>, notes: &mut Vec<DynamicNote>) -> Result<(), DecodeError> {
    let Some(segments) = parameters.remove("wal_keep_segments") else { return Ok(()) };
    let segments: u32 =
        segments.trim().parse().map_err(|_| fields_error("parameters.wal_keep_segments", "a number of WAL segments"))?;
    let size = format!("{}MB", u64::from(segments) * 16);
    let size = parameters.entry("wal_keep_size".to_owned()).or_insert(size).clone();
    notes.push(DynamicNote::Replaced { option: "postgresql.parameters.wal_keep_segments", by: format!("wal_keep_size: {size}") });
    Ok(())
}
