//! Writes to the store that a request asks for.

use super::Api;
use std::time::Duration;
use tanist_dcs::{Compare, Op, StoreError, Txn};

/// The store has this long.
const LIMIT: Duration = Duration::from_secs(3);

/// Carries the writes out if the comparisons hold; says whether they did. Done on the agent's runtime, to which the store's connections
/// belong.
pub(super) async fn commit(api: &Api, compares: Vec<Compare>, then: Vec<Op>) -> Result<bool, StoreError> {
    let txn = Txn { compares, then, otherwise: Vec::new() };
    let store = api.tools.store.clone();
    match api.agent.spawn(async move { store.txn(txn, LIMIT).await }).await {
        Ok(answer) => Ok(answer?.succeeded),
        Err(error) => Err(StoreError::Unknown(error.to_string())),
    }
}
