//! Follows a request to its outcome, in the mirror of the store and in what the loop shows.

use super::leader;
use crate::run::{Status, StatusCell, clock};
use std::time::Duration;
use tanist_dcs::{Mirror, Snapshot};
use tanist_engine::{Lease, MemberName, Moment, Revision};
use tanist_patroni::rest::Outcome;

/// How often the outcome is looked for; nobody else waits for it.
const LOOK: Duration = Duration::from_millis(20);

/// A request that was written, or may have been.
pub(super) struct Asked {
    /// The store's key.
    pub key: String,
    /// What was to be put there.
    pub value: String,
    /// How far the mirror was before; what is not newer is another request.
    pub before: Revision,
    /// The store's revision of the write. Nothing: the store did not say, and the key has not been seen.
    pub written: Option<Revision>,
    /// Who led.
    pub old: Option<MemberName>,
    /// Who shall lead.
    pub candidate: Option<MemberName>,
    /// When, before the write was sent: the leader may be quicker than the store's answer.
    pub at: Moment,
}

/// What has come of it.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    /// Nothing yet.
    Nothing,
    /// Somebody else leads and was proved writable.
    Leads(MemberName),
    /// The request is gone, and the leader is still the same.
    Refused,
}

/// Looks until something has come of it, or for `limit`.
pub(super) async fn follow(cell: &StatusCell, mirror: &Mirror, asked: &mut Asked, limit: Duration) -> Outcome {
    while clock::now().since(asked.at) < limit {
        tokio::time::sleep(LOOK).await;
        let Some(status) = cell.get() else { continue };
        match asked.look(&status, &mirror.snapshot()) {
            Sight::Nothing => {}
            Sight::Leads(leader) => return Outcome::Done { leader, candidate: asked.candidate.clone() },
            Sight::Refused => {
                let why = status.refused.as_ref().filter(|(at, _)| *at >= asked.at).map(|(_, why)| why.to_string());
                return Outcome::Failed { why };
            }
        }
    }
    match asked.written {
        Some(_) => Outcome::StatusUnknown { says: cell.get().map(|status| status.reason.to_string()) },
        None => Outcome::WriteUnknown,
    }
}

impl Asked {
    fn look(&mut self, status: &Status, snapshot: &Snapshot) -> Sight {
        self.written = self.written.or_else(|| self.found(snapshot));
        match proved_leader(status) {
            Some(leader) if Some(&leader) != self.old.as_ref() => Sight::Leads(leader),
            // The key goes when the engine has refused the request, or together with the lease when it is carried out.
            Some(_) if self.is_gone(snapshot) && status.seen.store.switchover.is_none() => Sight::Refused,
            _ => Sight::Nothing,
        }
    }

    /// The revision of a write whose answer was lost.
    fn found(&self, snapshot: &Snapshot) -> Option<Revision> {
        let found = &snapshot.get(&self.key)?.kv;
        (found.mod_revision > self.before && found.value == self.value.as_bytes()).then_some(found.mod_revision)
    }

    /// The store has been seen since the request was written, and the request is not there any more.
    fn is_gone(&self, snapshot: &Snapshot) -> bool {
        self.written.is_some_and(|written| snapshot.revision >= written) && snapshot.get(&self.key).is_none()
    }
}

/// Who leads and was proved writable at the present epoch.
fn proved_leader(status: &Status) -> Option<MemberName> {
    let epoch = match &status.seen.lease {
        Lease::Mine(held) => held.epoch,
        Lease::Theirs(theirs) => theirs.epoch,
        Lease::Vacant { .. } | Lease::Unknown => return None,
    };
    let face = status.seen.store.primary.as_ref()?;
    (face.epoch == epoch && Some(&face.name) == leader(status).as_ref()).then(|| face.name.clone())
}

#[cfg(test)]
#[path = "following_tests.rs"]
mod tests;
