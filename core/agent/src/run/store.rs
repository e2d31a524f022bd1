//! From the mirror of the store to facts: the lease first, then the view, then the dynamic configuration.

use super::{Fact, Facts, clock, dynamic::Dynamic};
use crate::{cluster::ViewReader, execute::Tools};
use std::sync::Arc;

/// Follows the mirror until the agent ends.
pub async fn follow(tools: Arc<Tools>, mut dynamic: Dynamic, facts: Facts) {
    let mut snapshots = tools.mirror.subscribe();
    let mut reader = ViewReader::new(tools.keeper.keys().clone());
    let mut trouble = None;
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        tools.keeper.observe(&snapshot, clock::reading());
        let said = snapshot.trouble.as_ref().map(ToString::to_string);
        if said != trouble {
            match &said {
                Some(text) => tracing::warn!("the store: {text}"),
                None => tracing::info!("the store answers"),
            }
            trouble = said;
        }
        if snapshot.as_of.is_some() {
            facts.tell(Fact::Store(Box::new(reader.read(&snapshot))));
            let config = snapshot.get(&tools.keeper.keys().config()).map(|mirrored| mirrored.kv.value.as_slice());
            if let Some(policy) = dynamic.learn(config, &tools) {
                facts.tell(Fact::Policy(Box::new(policy)));
            }
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}
