//! `POST /switchover` and `POST /failover`: checks the request, writes `/failover`, and waits for what comes of it. The engine of
//! the leader carries it out.

use super::{Api, store};
use crate::run::{Status, clock};
use std::{sync::Arc, time::Duration};
use tanist_dcs::{Compare, Op, StoreError};
use tanist_engine::{Lease, MemberName, MemberState, Moment, Revision, Role};
use tanist_patroni::{
    dcs::FailoverKey,
    rest::{Candidate, Kind, Outcome, SwitchoverRequest, SwitchoverView},
};

/// How often the outcome is looked for; nobody else waits for it.
const LOOK: Duration = Duration::from_millis(20);

/// Code and text of the answer.
pub(super) async fn carry_out(api: &Api, path: Kind, body: &[u8]) -> (u16, String) {
    let request = match SwitchoverRequest::decode(body) {
        Ok(request) => request,
        Err(error) => return (400, error.to_string()),
    };
    let Some(status) = api.status.get() else { return (503, "the store has not been read yet".to_owned()) };
    let view = view(&status);
    if let Err(refusal) = request.check(path, &view) {
        return (refusal.status, refusal.text);
    }
    let kind = request.kind(path);
    tracing::warn!(?kind, leader = ?request.leader, candidate = ?request.candidate, "asked for over REST");
    let asked = match write(api, &request).await {
        Ok(revision) => Asked { revision, old: view.leader, candidate: request.candidate, at: clock::now() },
        Err(error) => {
            tracing::error!(%error, "the request could not be written");
            return Outcome::NotWritten.answer(kind);
        }
    };
    let limit = 2 * status.policy.loop_wait.max(Duration::from_secs(10));
    outcome(api, asked, limit).await.answer(kind)
}

/// `DELETE /switchover`: takes back a request that waits for its time.
pub(super) async fn forget(api: &Api) -> (u16, String) {
    let key = api.tools.keeper.keys().failover();
    let snapshot = api.tools.mirror.snapshot();
    let waiting = snapshot.get(&key).and_then(|found| {
        let scheduled = FailoverKey::decode(&found.kv.value).ok()?.scheduled_at.is_some();
        scheduled.then_some(found.kv.mod_revision)
    });
    let Some(revision) = waiting else { return (404, "no switchover is scheduled".to_owned()) };
    match store::commit(api, vec![Compare::ModRevision(key.clone(), revision)], vec![Op::Delete(key)]).await {
        Ok(Some(_)) => (200, "scheduled switchover deleted".to_owned()),
        Ok(None) => (409, "the request has changed meanwhile".to_owned()),
        Err(error) => (503, format!("the request was not deleted: {error}")),
    }
}

fn view(status: &Status) -> SwitchoverView {
    let seen = &status.seen;
    let leader = leader(status);
    let candidates = seen.store.members.iter().filter(|member| Some(&member.name) != leader.as_ref()).map(|member| Candidate {
        name: member.name.clone(),
        sync: seen.store.sync.as_ref().is_some_and(|sync| sync.standbys.contains(&member.name)),
        able: member.tags.may_lead()
            && member.role == Role::Replica
            && matches!(member.state, MemberState::Running | MemberState::Streaming),
    });
    SwitchoverView { candidates: candidates.collect(), leader, synchronous: status.policy.synchronous.is_on(), paused: false }
}

fn leader(status: &Status) -> Option<MemberName> {
    match &status.seen.lease {
        Lease::Mine(_) => Some(status.seen.me.clone()),
        Lease::Theirs(theirs) => Some(theirs.holder.clone()),
        Lease::Vacant { .. } | Lease::Unknown => None,
    }
}

/// Puts the key, unless another request waits. Gives the revision of the write.
async fn write(api: &Api, request: &SwitchoverRequest) -> Result<Revision, StoreError> {
    let key = api.tools.keeper.keys().failover();
    let value = FailoverKey { leader: request.leader.clone(), member: request.candidate.clone(), scheduled_at: None }.encode();
    let written = store::commit(api, vec![Compare::Absent(key.clone())], vec![Op::put(key, value)]).await?;
    written.ok_or_else(|| StoreError::Refused("another switchover is waiting".to_owned()))
}

/// A request that stands in the store.
struct Asked {
    revision: Revision,
    old: Option<MemberName>,
    candidate: Option<MemberName>,
    at: Moment,
}

async fn outcome(api: &Api, asked: Asked, limit: Duration) -> Outcome {
    let old = asked.old.as_ref();
    while clock::now().since(asked.at) < limit {
        tokio::time::sleep(LOOK).await;
        let Some(status) = api.status.get() else { continue };
        if let Some(leader) = proved_leader(&status)
            && Some(&leader) != old
        {
            return Outcome::Done { leader, candidate: asked.candidate };
        }
        // The key goes when the engine has refused the request, or together with the lease when it is carried out.
        let gone = is_gone(api, asked.revision) && status.seen.store.switchover.is_none();
        if gone && old.is_some_and(|old| leader(&status).as_ref() == Some(old) && still_leads(&status, old)) {
            let why = status.refused.as_ref().filter(|(at, _)| *at >= asked.at).map(|(_, why)| why.to_string());
            return Outcome::Failed { why };
        }
    }
    Outcome::StatusUnknown { says: api.status.get().map(|status| status.reason.to_string()) }
}

/// The store has been seen since the request was written, and the request is not there any more.
fn is_gone(api: &Api, written: Revision) -> bool {
    let snapshot = api.tools.mirror.snapshot();
    snapshot.revision >= written && snapshot.get(&api.tools.keeper.keys().failover()).is_none()
}

/// Who leads and was proved writable at the present epoch.
fn proved_leader(status: &Arc<Status>) -> Option<MemberName> {
    let epoch = match &status.seen.lease {
        Lease::Mine(held) => held.epoch,
        Lease::Theirs(theirs) => theirs.epoch,
        Lease::Vacant { .. } | Lease::Unknown => return None,
    };
    let face = status.seen.store.primary.as_ref()?;
    (face.epoch == epoch && Some(&face.name) == leader(status).as_ref()).then(|| face.name.clone())
}

/// The face is the old leader's: nothing has moved.
fn still_leads(status: &Arc<Status>, old: &MemberName) -> bool {
    proved_leader(status).as_ref() == Some(old)
}
