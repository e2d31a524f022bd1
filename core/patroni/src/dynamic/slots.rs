//! Replication slots: `slots`, `ignore_slots`, `member_slots_ttl`, and `postgresql.use_slots`. Physical ones; a logical one is remarked.

use super::DynamicNote;
use crate::{DecodeError, fields::Fields};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

/// Which slots there are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRules {
    /// Members stream through slots.
    pub use_slots: bool,
    /// Slots that are always there.
    pub permanent: BTreeSet<String>,
    /// Slots that are left alone; `None`: all physical ones.
    pub ignored: Vec<Option<String>>,
    /// How long the slot of a member that is away is kept.
    pub member_ttl: Duration,
}

impl Default for SlotRules {
    fn default() -> Self {
        Self { use_slots: true, permanent: BTreeSet::new(), ignored: Vec::new(), member_ttl: Duration::from_secs(1800) }
    }
}

impl SlotRules {
    /// More slots than any server has.
    const MOST: usize = 1000;

    /// Whether somebody else looks after the slot.
    pub fn is_ignored(&self, name: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored.as_deref().is_none_or(|ignored| ignored == name))
    }

    pub(super) fn read(fields: &mut Fields, notes: &mut Vec<DynamicNote>) -> Result<Self, DecodeError> {
        let mut rules = Self::default();
        for (name, slot) in fields.map("slots")? {
            let field = format!("slots.{name}");
            let valid = (1..=63).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if !valid || rules.permanent.len() >= Self::MOST {
                return Err(fields.wrong(&field, "a slot name: 1 to 63 small letters, digits and _"));
            }
            match slot {
                Value::Null => {}
                Value::Object(slot) if is_logical(&slot) => {
                    notes.push(DynamicNote::Unsupported { option: field, instead: "logical slots are not made" });
                }
                Value::Object(_) => {
                    rules.permanent.insert(name);
                }
                _ => return Err(fields.wrong(&field, "a map, for example {type: physical}")),
            }
        }
        rules.ignored = match fields.take("ignore_slots") {
            None => Vec::new(),
            Some(Value::Array(list)) if list.len() <= Self::MOST => list
                .into_iter()
                .filter_map(ignored)
                .collect::<Option<_>>()
                .ok_or_else(|| fields.wrong("ignore_slots", MATCHERS))?,
            Some(_) => return Err(fields.wrong("ignore_slots", MATCHERS)),
        };
        if let Some(seconds) = fields.number("member_slots_ttl")? {
            rules.member_ttl = Duration::from_secs(seconds);
        }
        Ok(rules)
    }
}

const MATCHERS: &str = "a list of maps with name, type, database or plugin";

/// By its type, else by what only a logical one has.
fn is_logical(slot: &serde_json::Map<String, Value>) -> bool {
    match slot.get("type") {
        Some(kind) => kind.as_str() == Some("logical"),
        None => slot.contains_key("database") || slot.contains_key("plugin"),
    }
}

/// Which physical slot an entry stands for. Outside nothing: a logical one. Inside nothing: not an entry.
fn ignored(entry: Value) -> Option<Option<Option<String>>> {
    let Value::Object(entry) = entry else { return Some(None) };
    if is_logical(&entry) {
        return None;
    }
    match entry.get("name") {
        None => Some(Some(None)),
        Some(Value::String(name)) => Some(Some(Some(name.clone()))),
        Some(_) => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<(SlotRules, Vec<String>), String> {
        let mut notes = Vec::new();
        let mut fields = Fields::of("config", value).unwrap();
        let rules = SlotRules::read(&mut fields, &mut notes).map_err(|error| error.to_string())?;
        Ok((rules, notes.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn permanent_ignored_and_kept() {
        let (rules, notes) = read(json!({
            "slots": {"backup": {"type": "physical"}, "plain": {}, "cdc": {"type": "logical", "database": "d", "plugin": "p"}, "no": null},
            "ignore_slots": [{"name": "theirs", "type": "physical"}, {"plugin": "wal2json"}],
            "member_slots_ttl": 60
        }))
        .unwrap();
        assert_eq!(rules.permanent, ["backup", "plain"].map(str::to_owned).into());
        assert_eq!(notes, ["slots.cdc: is not supported by this version of tanist: logical slots are not made"]);
        assert!(rules.is_ignored("theirs") && !rules.is_ignored("backup"));
        assert_eq!(rules.member_ttl.as_secs(), 60);
        assert!(read(json!({"ignore_slots": [{"type": "physical"}]})).unwrap().0.is_ignored("any"));
    }

    #[test]
    fn wrong_ones_are_named() {
        for (value, message) in [
            (
                json!({"slots": {"Bad-name": {}}}),
                "config: slots.Bad-name must be a slot name: 1 to 63 small letters, digits and _",
            ),
            (json!({"slots": {"a": 1}}), "config: slots.a must be a map, for example {type: physical}"),
            (json!({"ignore_slots": [1]}), "config: ignore_slots must be a list of maps with name, type, database or plugin"),
            (json!({"ignore_slots": {}}), "config: ignore_slots must be a list of maps with name, type, database or plugin"),
        ] {
            assert_eq!(read(value).unwrap_err(), message);
        }
    }
}
