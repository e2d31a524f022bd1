//! `/config`: the dynamic configuration in the store, read and changed.
//!
//! A change that could not be obeyed is refused here, with the words that the log of every node would have; the store keeps what it had.

use super::{Api, store};
use serde_json::{Map, Value};
use tanist_dcs::{Compare, Op};
use tanist_patroni::{
    dcs_text,
    dynamic::{self, DynamicConfig},
    rest_text,
};

/// Code and body of an answer.
type Answer = (u16, String);

/// The body of `GET /config`, as it is in the store.
pub(super) fn body(api: &Api) -> Option<String> {
    let snapshot = api.tools.mirror.snapshot();
    let value = snapshot.get(&api.tools.keeper.keys().config())?;
    let parsed: Value = serde_json::from_slice(&value.kv.value).ok()?;
    Some(rest_text(&parsed))
}

/// `PATCH /config`: lays a change over what is there.
pub(super) async fn change(api: &Api, body: &[u8]) -> Answer {
    let change = match object(body) {
        Ok(change) => change,
        Err(answer) => return answer,
    };
    let key = api.tools.keeper.keys().config();
    let snapshot = api.tools.mirror.snapshot();
    let Some(present) = snapshot.get(&key) else { return (503, "there is no configuration in the store".to_owned()) };
    let Ok(Value::Object(mut config)) = serde_json::from_slice(&present.kv.value) else {
        return (503, "the configuration in the store is no JSON object; replace it with PUT".to_owned());
    };
    if !dynamic::patch(&mut config, &change) {
        return (200, rest_text(&config));
    }
    if let Err(answer) = obeyable(&config) {
        return answer;
    }
    let unchanged = Compare::ModRevision(key.clone(), present.kv.mod_revision);
    match store::commit(api, vec![unchanged], vec![Op::put(key, dcs_text(&config))]).await {
        Ok(Some(_)) => {
            tracing::warn!(change = rest_text(&change), "the dynamic configuration was changed over REST");
            (200, rest_text(&config))
        }
        Ok(None) => (409, "the configuration has changed meanwhile; ask again".to_owned()),
        Err(error) => (502, format!("the configuration was not written: {error}")),
    }
}

/// `PUT /config`: replaces what is there.
pub(super) async fn replace(api: &Api, body: &[u8]) -> Answer {
    let config = match object(body).and_then(|config| obeyable(&config).map(|()| config)) {
        Ok(config) => config,
        Err(answer) => return answer,
    };
    match store::commit(api, Vec::new(), vec![Op::put(api.tools.keeper.keys().config(), dcs_text(&config))]).await {
        Ok(_) => {
            tracing::warn!(config = rest_text(&config), "the dynamic configuration was replaced over REST");
            (200, rest_text(&config))
        }
        Err(error) => (502, format!("the configuration was not written: {error}")),
    }
}

/// The body as a JSON object that says something.
fn object(body: &[u8]) -> Result<Map<String, Value>, Answer> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) if !map.is_empty() => Ok(map),
        Ok(_) => Err((400, "the body must be a JSON object that is not empty".to_owned())),
        Err(error) => Err((400, format!("the body is not JSON: {error}"))),
    }
}

/// Whether every node could obey it. An option without effect is told in every node's log; a pause that does not happen is refused,
/// because somebody relies on it.
fn obeyable(config: &Map<String, Value>) -> Result<(), Answer> {
    match DynamicConfig::read(Value::Object(config.clone())) {
        Err(error) => Err((400, error.to_string())),
        Ok((_, notes)) => match notes.iter().find(|note| note.option() == "pause") {
            Some(note) => Err((400, note.to_string())),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(config: Value) -> Result<(), Answer> {
        object(config.to_string().as_bytes()).and_then(|config| obeyable(&config))
    }

    #[test]
    fn what_no_node_could_obey_is_refused() {
        assert_eq!(said(json!({"ttl": 20, "loop_wait": 5, "postgresql": {"parameters": {"work_mem": "8MB"}}})), Ok(()));
        assert_eq!(said(json!({"slots": {"a": {"type": "physical"}}})), Ok(()), "told in the logs");
        for (config, words) in [
            (json!({"ttl": 1}), "ttl must be 2 to 86400 seconds"),
            (json!({"postgresql": {"pg_hba": "all"}}), "postgresql.pg_hba must be"),
            (json!({"pause": true}), "pause: is not supported"),
            (json!([1]), "must be a JSON object"),
            (json!({}), "must be a JSON object"),
        ] {
            let (code, text) = said(config).unwrap_err();
            assert_eq!(code, 400, "{text}");
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(object(b"{").unwrap_err().0, 400);
    }
}
