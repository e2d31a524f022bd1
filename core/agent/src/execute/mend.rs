//! Values in the store that nobody can read, because other hands wrote them: the leader's agent puts them back as it last read them.
//!
//! Every agent goes on with its own last good value; but one that starts anew has none, and a comparing write over a value needs one that
//! was read. What is told anew anyway (members, `/status`, promises) mends itself; a request that cannot be read is taken away.

use super::{Tools, outcome::written};
use std::{collections::BTreeMap, time::Duration};
use tanist_dcs::{Compare, Op, Snapshot};
use tanist_engine::StoreView;
use tanist_patroni::{
    dcs::{InitializeKey, SyncKey},
    own::{PrimaryKey, TimelinesKey},
};

impl Tools {
    /// Puts back what can be put back. `unreadable` are the keys in `snapshot` whose values cannot be read, `view` is the last good of all.
    pub async fn mend(&self, snapshot: &Snapshot, view: &StoreView, unreadable: &BTreeMap<String, String>, timeout: Duration) {
        for key in unreadable.keys() {
            let Some(mirrored) = snapshot.get(key) else { continue };
            let Some(op) = self.put_back(key, view) else { continue };
            let compare = Compare::ModRevision(key.clone(), mirrored.kv.mod_revision);
            if written(key, self.keeper.leader_write(vec![op], vec![compare], timeout).await) {
                tracing::warn!(key, "a value that could not be read was replaced by the last good one");
            }
        }
    }

    fn put_back(&self, key: &str, view: &StoreView) -> Option<Op> {
        let keys = self.keeper.keys();
        let value = match key {
            key if key == keys.initialize() => InitializeKey::SystemId(
                view.initialize.clone().filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))?,
            )
            .encode(),
            // Of this leader only: another's is rewritten by the step that replaces it.
            key if key == keys.sync() => {
                SyncKey::from_engine(view.sync.as_ref().filter(|sync| sync.leader.as_ref() == Some(&self.settings.name))?)
                    .encode()
            }
            key if key == keys.timelines() => {
                if view.timelines.is_empty() {
                    return None;
                }
                TimelinesKey { claims: view.timelines.clone() }.encode()
            }
            key if key == keys.primary() => {
                PrimaryKey { face: view.primary.clone()?, since: crate::run::wall::iso_now() }.encode()
            }
            key if key == keys.failover() || key == keys.handoff() => return Some(Op::Delete(key.to_owned())),
            _ => return None,
        };
        Some(Op::put(key.to_owned(), value))
    }
}
