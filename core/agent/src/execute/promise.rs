//! `tanist/promise/<me>` and `tanist/data/<me>`: what this node says of itself to whoever leads next. Each compares its own revision, so
//! that one which lands late changes nothing (SAFETY §4.4, §4.8).

use super::Tools;
use std::time::Duration;
use tanist_dcs::{Compare, Op, Txn};
use tanist_engine::{Epoch, Position, Revision};
use tanist_patroni::own::PromiseKey;

impl Tools {
    pub(super) async fn write_promise(
        &self,
        epoch: Epoch,
        position: Option<Position>,
        revision: Revision,
        timeout: Duration,
    ) -> bool {
        let key = self.keeper.keys().promise(&self.settings.name);
        self.put_over(key, PromiseKey { epoch, position }.encode(), revision, timeout).await
    }

    /// The value says nothing: what counts is the revision.
    pub(super) async fn raise_data(&self, revision: Revision, timeout: Duration) -> bool {
        let key = self.keeper.keys().data(&self.settings.name);
        self.put_over(key, "{}".to_owned(), revision, timeout).await
    }

    /// From now on the directory that was seen is the known one, if it is still there.
    pub(super) async fn adopt_directory(&self, seen: u64) -> bool {
        let directory = self.directory.clone();
        match tokio::task::spawn_blocking(move || directory.adopt_seen(seen)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!("tanist.state_dir: {error}");
                false
            }
            Err(error) => {
                tracing::warn!("the data directory is not recorded: {error}");
                false
            }
        }
    }

    async fn put_over(&self, key: String, value: String, revision: Revision, timeout: Duration) -> bool {
        let compare = Compare::ModRevision(key.clone(), revision);
        let txn = Txn { compares: vec![compare], then: vec![Op::put(key.clone(), value)], ..Txn::default() };
        match self.store.txn(txn, timeout).await {
            Ok(answer) if answer.succeeded => true,
            Ok(_) => {
                tracing::info!(key, "not written: the key has changed meanwhile");
                false
            }
            Err(error) => {
                tracing::warn!(key, %error, "not known to be written");
                false
            }
        }
    }
}
