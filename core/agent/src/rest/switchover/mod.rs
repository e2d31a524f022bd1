//! `POST /switchover` and `POST /failover`: checks the request, writes `/failover`, and waits for what comes of it. The engine of
//! the leader carries it out.

mod following;
mod refused;
mod waiting;

use super::{Api, store};
use crate::run::{Status, clock};
use following::{Asked, follow};
use std::time::Duration;
use tanist_dcs::{Compare, Op, StoreError};
use tanist_engine::{Lease, MemberName, MemberState, Revision, Role};
use tanist_patroni::{
    dcs::FailoverKey,
    rest::{Candidate, Kind, Outcome, SwitchoverRequest, SwitchoverView},
};

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
    let mut asked = asked(api, request, view.leader);
    let free = match waiting::place(api, &asked.key, kind).await {
        Ok(free) => free,
        Err(answer) => return answer,
    };
    match write(api, &asked, free).await {
        Ok(revision) => asked.written = Some(revision),
        Err(error) if error.may_have_landed() => {
            tracing::warn!(%error, "whether the request was written is not known: looking for it");
        }
        Err(error) => {
            tracing::error!(%error, "the request could not be written");
            return Outcome::NotWritten.answer(kind);
        }
    }
    let limit = 2 * status.policy.loop_wait.max(Duration::from_secs(10));
    let mut outcome = follow(&api.status, &api.tools.mirror, &mut asked, limit).await;
    if let Outcome::Failed { why: why @ None } = &mut outcome {
        *why = refused::ask_leader(api, &asked).await;
    }
    outcome.answer(kind)
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
        Err(error) => (503, store::failed("the request", "deleted", &error)),
    }
}

/// What will be written, as of now.
fn asked(api: &Api, request: SwitchoverRequest, old: Option<MemberName>) -> Asked {
    let SwitchoverRequest { leader, candidate, scheduled_at: _ } = request;
    let value = FailoverKey { leader, member: candidate.clone(), scheduled_at: None }.encode();
    let before = api.tools.mirror.snapshot().revision;
    Asked { key: api.tools.keeper.keys().failover(), value, before, written: None, old, candidate, at: clock::now() }
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

/// Puts the key, unless another request has come before. Gives the revision of the write.
async fn write(api: &Api, asked: &Asked, free: Compare) -> Result<Revision, StoreError> {
    let Asked { key, value, .. } = asked;
    let written = store::commit(api, vec![free], vec![Op::put(key, value.clone())]).await?;
    written.ok_or_else(|| StoreError::Refused("another switchover is waiting".to_owned()))
}
