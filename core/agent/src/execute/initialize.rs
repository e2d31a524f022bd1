//! A new cluster enters the store: its identity, and its dynamic configuration where there is none.

use super::{Tools, outcome::written};
use std::time::Duration;
use tanist_dcs::{Compare, Op};
use tanist_patroni::{dcs::InitializeKey, dcs_text};

impl Tools {
    pub(super) async fn write_initialize(&self, system_id: String, timeout: Duration) -> bool {
        let keys = self.keeper.keys();
        let mut ops = vec![Op::put(keys.initialize(), InitializeKey::SystemId(system_id).encode())];
        let mut compares = vec![Compare::Absent(keys.initialize())];
        if self.mirror.snapshot().get(&keys.config()).is_none() {
            ops.push(Op::put(keys.config(), dcs_text(&self.settings.bootstrap.dcs)));
            compares.push(Compare::Absent(keys.config()));
        }
        written("/initialize", self.keeper.leader_write(ops, compares, timeout).await)
    }
}
