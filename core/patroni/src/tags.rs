//! Tags of a node: any names and values in Patroni, three of them of interest to the engine.

use crate::{DecodeError, parse_bool};
use serde_json::{Map, Value};
use tanist_engine::Tags;

/// Tags as written, in the order of their names.
pub type TagMap = Map<String, Value>;

/// Tags whose absence means the same as `false`; Patroni leaves them out of the member key then.
const FLAGS: [&str; 5] = ["clonefrom", "nofailover", "noloadbalance", "nosync", "nostream"];

/// What the engine needs of the tags. `key` says in an error where they come from.
pub fn engine_tags(key: &'static str, tags: &TagMap) -> Result<Tags, DecodeError> {
    let wrong = |name: &str, expected| DecodeError::Wrong { key, field: format!("tags.{name}"), expected };
    let flag = |name: &str| match tags.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => parse_bool(value).ok_or_else(|| wrong(name, "true or false")),
    };
    let priority = match tags.get("failover_priority") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) => Some(number.as_i64()),
        Some(Value::String(text)) => Some(text.trim().parse::<i64>().ok()),
        Some(_) => Some(None),
    };
    let failover_priority = match priority {
        None => None,
        Some(number) => {
            let number = number.and_then(|number| i32::try_from(number).ok());
            Some(number.ok_or_else(|| wrong("failover_priority", "a whole number (32 bits)"))?)
        }
    };
    Ok(Tags { nofailover: flag("nofailover")?, nosync: flag("nosync")?, failover_priority })
}

/// The tags as they are shown in member key and REST: without flags that are false. `nofailover: false` stays beside a
/// `failover_priority`, because together they mean "may lead".
pub fn published_tags(tags: &TagMap) -> TagMap {
    let kept = |name: &str, value: &Value| {
        !FLAGS.contains(&name)
            || parse_bool(value) != Some(false)
            || name == "nofailover" && tags.contains_key("failover_priority")
    };
    tags.iter().filter(|(name, value)| kept(name, value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> TagMap {
        match value {
            Value::Object(map) => map,
            _ => TagMap::new(),
        }
    }

    #[test]
    fn the_engine_gets_what_it_knows() {
        let tags = map(json!({"nofailover": "yes", "nosync": false, "failover_priority": "3", "site": "a"}));
        assert_eq!(engine_tags("t", &tags), Ok(Tags { nofailover: true, nosync: false, failover_priority: Some(3) }));
        assert_eq!(engine_tags("t", &TagMap::new()), Ok(Tags::default()));
    }

    #[test]
    fn nonsense_is_named() {
        let error = engine_tags("member", &map(json!({"nofailover": "maybe"}))).unwrap_err();
        assert_eq!(error.to_string(), "member: tags.nofailover must be true or false");
        let error = engine_tags("member", &map(json!({"failover_priority": 1e9}))).unwrap_err();
        assert_eq!(error.to_string(), "member: tags.failover_priority must be a whole number (32 bits)");
    }

    #[test]
    fn false_flags_are_not_published() {
        let tags = map(json!({"nofailover": false, "noloadbalance": true, "nosync": "off", "site": "a"}));
        assert_eq!(published_tags(&tags), map(json!({"noloadbalance": true, "site": "a"})));
        let tags = map(json!({"nofailover": false, "failover_priority": 2}));
        assert_eq!(published_tags(&tags), tags);
    }
}
