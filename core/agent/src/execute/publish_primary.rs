//! The cluster's face: `tanist/primary`, and a line of `/history` where the timeline is new. One leader write.

use super::{Tools, outcome::written};
use crate::run::wall;
use std::time::Duration;
use tanist_dcs::{Compare, Op};
use tanist_engine::{Face, Revision};
use tanist_patroni::{
    dcs::{HistoryKey, HistoryLine},
    own::PrimaryKey,
};

impl Tools {
    pub(super) async fn publish_primary(&self, face: Face, timeout: Duration) -> bool {
        let keys = self.keeper.keys();
        let value = PrimaryKey { face: face.clone(), since: wall::iso_now() }.encode();
        let mut ops = vec![Op::put(keys.primary(), value)];
        let mut compares = Vec::new();
        if let Some((op, compare)) = self.history_line(&face) {
            ops.push(op);
            compares.push(compare);
        }
        written("tanist/primary", self.keeper.leader_write(ops, compares, timeout).await)
    }

    /// The line that says where the timeline before this one ended, if it is not written yet. A history that cannot be read is left alone:
    /// it is for people, and the face must not wait for it.
    fn history_line(&self, face: &Face) -> Option<(Op, Compare)> {
        let begin = self.postgres.timeline_begin()?;
        let ended = tanist_engine::Timeline(face.timeline.0.checked_sub(1)?);
        let key = self.keeper.keys().history();
        let snapshot = self.mirror.snapshot();
        let present = snapshot.get(&key);
        let revision = present.map_or(Revision(0), |mirrored| mirrored.kv.mod_revision);
        let mut history = match present.map(|mirrored| HistoryKey::decode(&mirrored.kv.value)).transpose() {
            Ok(history) => history.unwrap_or(HistoryKey { lines: Vec::new() }),
            Err(error) => {
                tracing::warn!(%error, "/history is left as it is");
                return None;
            }
        };
        if history.lines.iter().any(|line| line.timeline == ended) {
            return None;
        }
        history.lines.push(HistoryLine {
            timeline: ended,
            lsn: begin,
            reason: "no recovery target specified".to_owned(),
            at: Some(wall::iso_now()),
            leader: Some(face.name.to_string()),
        });
        Some((Op::put(key.clone(), history.encode()), Compare::ModRevision(key, revision)))
    }
}
