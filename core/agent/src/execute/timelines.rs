//! `tanist/timelines`: a timeline number is claimed before it is opened, and its beginning is written when it is known (SAFETY §4.3).

use super::{Tools, outcome::written};
use std::time::Duration;
use tanist_dcs::{Compare, Op};
use tanist_engine::{Epoch, Revision, Timeline, TimelineClaim};
use tanist_guard::protocol::Command;
use tanist_patroni::own::TimelinesKey;

impl Tools {
    pub(super) async fn claim_timeline(&self, claim: TimelineClaim, timeout: Duration) -> bool {
        let key = self.keeper.keys().timelines();
        let snapshot = self.mirror.snapshot();
        let present = snapshot.get(&key);
        let revision = present.map_or(Revision(0), |mirrored| mirrored.kv.mod_revision);
        let claims = match present.map(|mirrored| TimelinesKey::decode(&mirrored.kv.value)).transpose() {
            Ok(known) => known.map(|known| known.claims).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "no timeline can be claimed while the claims cannot be read");
                return false;
            }
        };
        let Some(claims) = with_claim(claims, claim) else {
            self.note_claim(claim.epoch, claim.timeline);
            return true;
        };
        let value = TimelinesKey { claims }.encode();
        let compare = Compare::ModRevision(key.clone(), revision);
        let done = written("tanist/timelines", self.keeper.leader_write(vec![Op::put(key, value)], vec![compare], timeout).await);
        if done {
            self.note_claim(claim.epoch, claim.timeline);
        }
        done
    }

    /// Tells the guard what the store has claimed: it promotes to nothing else. Of a timeline that was opened long ago it need not know.
    pub(super) fn note_claim(&self, epoch: Epoch, timeline: Timeline) {
        let known = self.guard.page().claimed();
        if known.is_some_and(|(known, _)| known > epoch.0) || known == Some((epoch.0, timeline.0)) {
            return;
        }
        if let Err(error) = self.guard.send(&Command::Claimed { epoch: epoch.0, timeline: timeline.0 }) {
            tracing::warn!(%error, "the guard was not told of the claimed timeline");
        }
    }
}

/// The claims with this one in them; nothing when it is there already. A number has one line: a later epoch that claims a number which was
/// claimed and never opened takes the line over.
fn with_claim(mut claims: Vec<TimelineClaim>, claim: TimelineClaim) -> Option<Vec<TimelineClaim>> {
    if claims.contains(&claim) {
        return None;
    }
    claims.retain(|known| known.timeline != claim.timeline);
    claims.push(claim);
    claims.sort_by_key(|known| known.timeline);
    Some(claims)
}
