//! `/status`: the leader's position and those of its replication slots, for the race of an asynchronous cluster and for Patroni's tools.

use super::{Tools, outcome::written};
use std::time::Duration;
use tanist_dcs::Op;
use tanist_engine::Lsn;

impl Tools {
    pub(super) async fn publish_status(&self, optime: Lsn, timeout: Duration) -> bool {
        let value = self.slots.status(optime).encode();
        let op = Op::put(self.keeper.keys().status(), value);
        written("/status", self.keeper.leader_write(vec![op], Vec::new(), timeout).await)
    }
}
