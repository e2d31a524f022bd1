//! Taking a switchover that does not apply out of the store.

use super::{Tools, outcome::written};
use std::time::Duration;
use tanist_dcs::{Compare, Op};
use tanist_engine::Revision;

impl Tools {
    pub(super) async fn clear_switchover(&self, revision: Revision, timeout: Duration) -> bool {
        let key = self.keeper.keys().failover();
        let compare = Compare::ModRevision(key.clone(), revision);
        written("/failover", self.keeper.leader_write(vec![Op::Delete(key)], vec![compare], timeout).await)
    }
}
