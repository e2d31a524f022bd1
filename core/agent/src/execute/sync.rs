//! `/sync` and `synchronous_standby_names`. Their order is the engine's matter; each call here does one of the two, and reports it done
//! only when it is in force.

use super::{Tools, outcome::written};
use std::time::Duration;
use tanist_dcs::{Compare, Op};
use tanist_engine::{Connection, DataMark, MemberName, SyncNames, SyncState};
use tanist_patroni::dcs::SyncKey;
use tanist_postgres::sql;

/// How long ending a connection may take.
const LIMIT: Duration = Duration::from_secs(1);

impl Tools {
    pub(super) async fn write_sync(&self, state: SyncState, data: Vec<DataMark>, timeout: Duration) -> bool {
        let keys = self.keeper.keys();
        let key = keys.sync();
        let value = SyncKey::from_engine(&state).encode();
        let marks = data.into_iter().map(|DataMark { name, revision }| Compare::ModRevision(keys.data(&name), revision));
        let compares = marks.chain([Compare::ModRevision(key.clone(), state.revision)]).collect();
        written("/sync", self.keeper.leader_write(vec![Op::put(key, value)], compares, timeout).await)
    }

    /// Ends walsenders of a server that is gone, or of one that connects anew at once.
    pub(super) async fn end_connections(&self, name: &MemberName, connections: &[Connection]) -> bool {
        let ended = sql::end_connections(&self.postgres.settings(), connections, LIMIT).await;
        match &ended {
            Ok(told) => tracing::info!(%name, told, "walsenders from before its data directory was given up are ended"),
            Err(error) => tracing::warn!(%name, "walsenders from before its data directory was given up are not ended: {error}"),
        }
        self.postgres.probe_now();
        ended.is_ok()
    }

    pub(super) async fn set_sync_names(&self, names: SyncNames) -> bool {
        match self.postgres.set_sync_names(&names).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(?names, "synchronous_standby_names is not in force: {error}");
                false
            }
        }
    }
}
