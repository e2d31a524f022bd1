//! `pending_restart_reason`, as member keys and REST bodies have it since Patroni 4: which parameters wait, with both values.

use serde::Serialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// What a hot standby must not have less of than its primary (PostgreSQL documentation, "Hot Standby").
const SHARED: [&str; 5] =
    ["max_connections", "max_prepared_transactions", "max_locks_per_transaction", "max_wal_senders", "max_worker_processes"];
/// More are not read.
const MOST: usize = 100;

/// A value in force and the one after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// In force.
    pub old_value: String,
    /// After a restart.
    pub new_value: String,
}

/// By the parameter's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RestartReason(pub BTreeMap<String, ValueChange>);

impl RestartReason {
    /// Nothing waits, or nobody says what.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something that a standby may not have less of than its primary is lowered.
    pub fn lowers(&self) -> bool {
        let number = |text: &str| text.parse::<u64>().ok();
        let lower = |change: &ValueChange| Some(number(&change.new_value)? < number(&change.old_value)?);
        self.0.iter().any(|(name, change)| SHARED.contains(&name.as_str()) && lower(change) == Some(true))
    }

    /// What of it can be read: it is for people, and nothing is decided by it.
    pub(crate) fn read(map: Map<String, Value>) -> Self {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.chars().take(200).collect()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(if *flag { "on" } else { "off" }.to_owned()),
            _ => None,
        };
        let change =
            |value: &Value| Some(ValueChange { old_value: text(&value["old_value"])?, new_value: text(&value["new_value"])? });
        Self(map.into_iter().take(MOST).filter_map(|(name, value)| Some((name, change(&value)?))).collect())
    }
}

impl fmt::Display for RestartReason {
    /// As `patronictl list` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, ValueChange { old_value, new_value })) in self.0.iter().enumerate() {
            write!(f, "{}{name}: {old_value}->{new_value}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_can_be_read_is_read() {
        let value = json!({"a": {"old_value": "1", "new_value": 2}, "b": 5, "c": {"old_value": true, "new_value": "off"}});
        let Value::Object(map) = value else { panic!("a map") };
        let reason = RestartReason::read(map);
        assert!(!reason.lowers());
        let json = json!({"max_connections": {"old_value": "100", "new_value": "60"}, "a": {"old_value": 1, "new_value": 2}});
        assert!(RestartReason::read(json.as_object().cloned().unwrap()).lowers());
        assert_eq!(reason.to_string(), "a: 1->2, c: on->off");
        assert_eq!(serde_json::to_value(&reason).unwrap()["a"], json!({"old_value": "1", "new_value": "2"}));
    }
}
