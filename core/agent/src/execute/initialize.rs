//! A cluster enters a store that does not know it: its identity, and its dynamic configuration where there is none. A cluster that exists
//! (the store was replaced) brings the configuration that was in force; what `bootstrap.dcs` says is for a new one.

use super::{Tools, outcome::written};
use std::time::Duration;
use tanist_dcs::{Compare, Op};
use tanist_patroni::dcs::InitializeKey;

impl Tools {
    pub(super) async fn write_initialize(&self, system_id: String, timeout: Duration) -> bool {
        let keys = self.keeper.keys();
        let mut ops = vec![Op::put(keys.initialize(), InitializeKey::SystemId(system_id).encode())];
        let mut compares = vec![Compare::Absent(keys.initialize())];
        if self.mirror.snapshot().get(&keys.config()).is_none() {
            ops.push(Op::put(keys.config(), self.config.or(&self.settings.bootstrap.dcs)));
            compares.push(Compare::Absent(keys.config()));
        }
        written("/initialize", self.keeper.leader_write(ops, compares, timeout).await)
    }
}
