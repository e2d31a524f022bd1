//! What a request asks of the store. Done on the agent's runtime, to which the store's connections belong.

use super::Api;
use std::time::Duration;
use tanist_dcs::{Compare, KeyValue, Op, StoreError, Txn};
use tanist_engine::Revision;

/// The store has this long.
pub(super) const LIMIT: Duration = Duration::from_secs(3);

/// Reads a key from the store itself: what was written a moment ago the mirror may not have yet.
pub(super) async fn read(api: &Api, key: String) -> Result<Option<KeyValue>, StoreError> {
    let store = api.tools.store.clone();
    match api.agent.spawn(async move { store.get(&key, LIMIT).await }).await {
        Ok(answer) => answer,
        Err(error) => Err(StoreError::Unknown(error.to_string())),
    }
}

/// Carries the writes out if the comparisons hold; the store's revision after it, `None` when they did not hold.
pub(super) async fn commit(api: &Api, compares: Vec<Compare>, then: Vec<Op>) -> Result<Option<Revision>, StoreError> {
    let txn = Txn { compares, then, otherwise: Vec::new() };
    let store = api.tools.store.clone();
    match api.agent.spawn(async move { store.txn(txn, LIMIT).await }).await {
        Ok(answer) => answer.map(|answer| answer.succeeded.then_some(answer.revision)),
        Err(error) => Err(StoreError::Unknown(error.to_string())),
    }
}

/// What is said of a write that was not answered as asked: "not done" only where that is sure.
pub(super) fn failed(what: &str, done: &str, error: &StoreError) -> String {
    match error.may_have_landed() {
        true => format!("it is not known whether {what} was {done}: {error}"),
        false => format!("{what} was not {done}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_said_to_have_failed_only_where_that_is_sure() {
        let said = |error: fn(String) -> StoreError| failed("the request", "deleted", &error("m1".to_owned()));
        assert_eq!(said(StoreError::Refused), "the request was not deleted: the store refused: m1");
        assert_eq!(said(StoreError::Unavailable), "the request was not deleted: the store cannot be reached: m1");
        assert_eq!(
            said(StoreError::Unknown),
            "it is not known whether the request was deleted: the store's answer is unknown: m1"
        );
    }
}
