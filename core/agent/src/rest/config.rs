//! `/config`: the dynamic configuration in the store, read and changed.
//!
//! A change that could not be obeyed is refused here, with the words that the log of every node would have; the store keeps what it had.

use super::{Api, store};
use serde_json::{Map, Value};
use tanist_dcs::{Compare, Op, Store, Txn};
use tanist_patroni::{
    dcs_text,
    dynamic::{self, DynamicConfig},
    rest_text,
};

/// What must not be taken for done: a cluster that fails over in maintenance, or that takes writes beside the one it shall follow.
const RELIED_ON: [&str; 2] = ["pause", "standby_cluster"];
/// Somebody else has changed it meanwhile.
const CONFLICT: u16 = 409;

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
    let (dcs, key) = (api.tools.store.clone(), api.tools.keeper.keys().config());
    let changed = api.agent.spawn(async move { lay_over(&*dcs, &key, &change).await }).await;
    changed.unwrap_or_else(|error| (502, format!("it is not known whether the configuration was written: {error}")))
}

/// Somebody else may change it at the same moment: then once more, over what is there now.
async fn lay_over(dcs: &dyn Store, key: &str, change: &Map<String, Value>) -> Answer {
    let mut answer = try_to_lay_over(dcs, key, change).await;
    if answer.0 == CONFLICT {
        answer = try_to_lay_over(dcs, key, change).await;
    }
    answer
}

/// The mirror may be a moment behind, and another PATCH have come before this one: the store itself is read.
async fn try_to_lay_over(dcs: &dyn Store, key: &str, change: &Map<String, Value>) -> Answer {
    let present = match dcs.get(key, store::LIMIT).await {
        Ok(Some(present)) => present,
        Ok(None) => return (503, "there is no configuration in the store".to_owned()),
        Err(error) => return (502, format!("the configuration was not read: {error}")),
    };
    let Ok(Value::Object(mut config)) = serde_json::from_slice(&present.value) else {
        return (503, "the configuration in the store is no JSON object; replace it with PUT".to_owned());
    };
    let changed = dynamic::patch(&mut config, change);
    if let Err(answer) = obeyable(&config, change) {
        return answer;
    }
    if !changed {
        return (200, rest_text(&config));
    }
    let compares = vec![Compare::ModRevision(key.to_owned(), present.mod_revision)];
    let then = vec![Op::put(key, dcs_text(&config))];
    match dcs.txn(Txn { compares, then, otherwise: Vec::new() }, store::LIMIT).await {
        Ok(answer) if answer.succeeded => {
            tracing::warn!(change = rest_text(change), "the dynamic configuration was changed over REST");
            (200, rest_text(&config))
        }
        Ok(_) => (CONFLICT, "the configuration has changed meanwhile; ask again".to_owned()),
        Err(error) => (502, store::failed("the configuration", "written", &error)),
    }
}

/// `PUT /config`: replaces what is there.
pub(super) async fn replace(api: &Api, body: &[u8]) -> Answer {
    let config = match object(body).and_then(|config| obeyable(&config, &config).map(|()| config)) {
        Ok(config) => config,
        Err(answer) => return answer,
    };
    match store::commit(api, Vec::new(), vec![Op::put(api.tools.keeper.keys().config(), dcs_text(&config))]).await {
        Ok(_) => {
            tracing::warn!(config = rest_text(&config), "the dynamic configuration was replaced over REST");
            (200, rest_text(&config))
        }
        Err(error) => (502, store::failed("the configuration", "written", &error)),
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

/// Whether every node could obey it. An option without effect is told by every node; one that somebody relies on is refused where
/// `asked` brings it. What is there already (by patronictl, or from Patroni's time) does not keep other changes out.
fn obeyable(config: &Map<String, Value>, asked: &Map<String, Value>) -> Result<(), Answer> {
    let brought = |option: &str| RELIED_ON.contains(&option) && asked.get(option).is_some_and(|value| !value.is_null());
    match DynamicConfig::read(Value::Object(config.clone())) {
        Err(error) => Err((400, error.to_string())),
        Ok((_, notes)) => match notes.iter().find(|note| brought(note.option())) {
            Some(note) => Err((400, note.to_string())),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tanist_dcs::local::{LocalStore, Server};

    fn said(config: Value) -> Result<(), Answer> {
        object(config.to_string().as_bytes()).and_then(|config| obeyable(&config, &config))
    }

    #[test]
    fn what_no_node_could_obey_is_refused() {
        assert_eq!(said(json!({"ttl": 20, "loop_wait": 5, "postgresql": {"parameters": {"work_mem": "8MB"}}})), Ok(()));
        assert_eq!(said(json!({"slots": {"a": {"type": "physical"}}})), Ok(()), "told in the logs");
        for (config, words) in [
            (json!({"ttl": 1}), "ttl must be 2 to 86400 seconds"),
            (json!({"postgresql": {"pg_hba": "all"}}), "postgresql.pg_hba must be"),
            (json!({"pause": true}), "pause: is not supported"),
            (json!({"standby_cluster": {"host": "x"}}), "standby_cluster: is not supported"),
            (json!([1]), "must be a JSON object"),
            (json!({}), "must be a JSON object"),
        ] {
            let (code, text) = said(config).unwrap_err();
            assert_eq!(code, 400, "{text}");
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(object(b"{").unwrap_err().0, 400);
    }

    const KEY: &str = "/service/main/config";

    /// A store with a configuration.
    async fn store_with(config: &Value) -> (LocalStore, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("store");
        tokio::spawn(Server::bind(&socket, None).unwrap().run(std::future::pending()));
        let dcs = LocalStore::new(&socket);
        let put = vec![Op::put(KEY, config.to_string())];
        dcs.txn(Txn { then: put, ..Txn::default() }, store::LIMIT).await.unwrap();
        (dcs, directory)
    }

    async fn patch(dcs: &LocalStore, change: Value) -> (u16, Value) {
        let (code, text) = lay_over(dcs, KEY, &object(change.to_string().as_bytes()).unwrap()).await;
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn stored(dcs: &LocalStore) -> Value {
        serde_json::from_slice(&dcs.get(KEY, store::LIMIT).await.unwrap().unwrap().value).unwrap()
    }

    #[tokio::test]
    async fn changes_that_follow_each_other_at_once_are_all_made() {
        let (dcs, _directory) = store_with(&json!({"ttl": 5})).await;
        assert_eq!(patch(&dcs, json!({"ttl": 20})).await.0, 200);
        assert_eq!(patch(&dcs, json!({"ttl": 5})).await, (200, json!({"ttl": 5})));
        assert_eq!(stored(&dcs).await, json!({"ttl": 5}));
        for round in 0..20 {
            let ttl = 10 + round % 2;
            let both = tokio::join!(patch(&dcs, json!({"ttl": ttl})), patch(&dcs, json!({"loop_wait": ttl - 8})));
            assert_eq!((both.0.0, both.1.0), (200, 200), "{both:?}");
            assert_eq!(stored(&dcs).await, json!({"ttl": ttl, "loop_wait": ttl - 8}));
        }
    }

    #[tokio::test]
    async fn what_is_paused_already_can_be_changed_and_resumed() {
        let (dcs, _directory) = store_with(&json!({"ttl": 5, "pause": true})).await;
        assert_eq!(patch(&dcs, json!({"ttl": 6})).await.0, 200);
        assert_eq!(patch(&dcs, json!({"pause": true})).await.0, 400, "it is there, and does not happen");
        assert_eq!(patch(&dcs, json!({"pause": null})).await, (200, json!({"ttl": 6})));
        assert_eq!(patch(&dcs, json!({"pause": true})).await.0, 400);
        assert_eq!(patch(&dcs, json!({"standby_cluster": {"host": "x"}})).await.0, 400);
        assert_eq!(stored(&dcs).await, json!({"ttl": 6}));
    }
}
