//! `PATCH /config`: a change laid over the configuration, as Patroni does it.

use serde_json::{Map, Value};

/// Lays `change` over `config`: null removes, maps are merged, anything else replaces. Whether something changed.
pub fn patch(config: &mut Map<String, Value>, change: &Map<String, Value>) -> bool {
    let mut changed = false;
    for (name, value) in change {
        changed |= match (config.get_mut(name), value) {
            (None, Value::Null) => false,
            (Some(_), Value::Null) => config.remove(name).is_some(),
            (Some(Value::Object(inner)), Value::Object(more)) => patch(inner, more),
            (Some(present), value) if present == value => false,
            (_, value) => {
                config.insert(name.clone(), value.clone());
                true
            }
        };
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(config: Value, change: Value) -> (bool, Value) {
        let (Value::Object(mut config), Value::Object(change)) = (config, change) else { panic!("maps") };
        (patch(&mut config, &change), Value::Object(config))
    }

    #[test]
    fn null_removes_maps_are_merged_the_rest_replaces() {
        let config = json!({"ttl": 30, "postgresql": {"use_slots": true, "parameters": {"a": 1, "b": 2}}, "pause": true});
        let change = json!({"ttl": 20, "pause": null, "absent": null, "postgresql": {"parameters": {"a": null, "c": 3}}});
        let wanted = json!({"ttl": 20, "postgresql": {"use_slots": true, "parameters": {"b": 2, "c": 3}}});
        assert_eq!(patched(config.clone(), change), (true, wanted));
        assert_eq!(patched(config.clone(), json!({"postgresql": 5})).1["postgresql"], 5);
        assert_eq!(patched(config.clone(), json!({"ttl": {"a": 1}})).1["ttl"], json!({"a": 1}));
        let same = json!({"ttl": 30, "postgresql": {"parameters": {"b": 2}}, "absent": null});
        assert_eq!(patched(config.clone(), same), (false, config));
    }
}
