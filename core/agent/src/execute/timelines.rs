//! `tanist/timelines`: a timeline number is claimed before it is opened, and its beginning is written when it is known (SAFETY §4.3).

use super::{Tools, outcome::written};
use std::time::Duration;
use tanist_dcs::{Compare, Op};
use tanist_engine::{Revision, TimelineClaim};
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
        let Some(claims) = with_claim(claims, claim) else { return true };
        let value = TimelinesKey { claims }.encode();
        let compare = Compare::ModRevision(key.clone(), revision);
        written("tanist/timelines", self.keeper.leader_write(vec![Op::put(key, value)], vec![compare], timeout).await)
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
