//! Writes to the store that a request asks for.

use super::Api;
use std::time::Duration;
use tanist_dcs::{Compare, Op, StoreError, Txn};
use tanist_engine::Revision;

/// The store has this long.
const LIMIT: Duration = Duration::from_secs(3);

/// Carries the writes out if the comparisons hold; the store's revision after it, `None` when they did not hold. Done on the agent's
/// runtime, to which the store's connections belong.
pub(super) async fn commit(api: &Api, compares: Vec<Compare>, then: Vec<Op>) -> Result<Option<Revision>, StoreError> {
    let txn = Txn { compares, then, otherwise: Vec::new() };
    let store = api.tools.store.clone();
    match api.agent.spawn(async move { store.txn(txn, LIMIT).await }).await {
        Ok(answer) => answer.map(|answer| answer.succeeded.then_some(answer.revision)),
        Err(error) => Err(StoreError::Unknown(error.to_string())),
    }
}
