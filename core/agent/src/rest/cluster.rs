//! `/cluster`, `/history` and `/failsafe`: what the store says.

use super::Api;
use std::collections::BTreeMap;
use tanist_engine::{Lease, MemberName, StoreView, SyncMode};
use tanist_patroni::{
    dcs::{FailsafeKey, HistoryKey, MemberKey},
    rest::{ClusterBody, ClusterMember, ClusterRole},
    rest_text,
};

/// The body of `/cluster`; nothing before the store was read.
pub(super) fn body(api: &Api) -> Option<String> {
    let status = api.status.get()?;
    let view = &status.seen.store;
    view.as_of?;
    let leader = leader(&status.seen.lease, &status.seen.me);
    let quorum = matches!(status.policy.synchronous, SyncMode::Quorum { .. });
    let snapshot = api.tools.mirror.snapshot();
    let members = view
        .members
        .iter()
        .map(|member| {
            let key = snapshot.get(&api.tools.keeper.keys().member(&member.name));
            let key = key.and_then(|key| MemberKey::decode(&key.kv.value).ok()).unwrap_or_default();
            ClusterMember::from_engine(member, role_of(&member.name, leader.as_ref(), view, quorum), &key, view.optime)
        })
        .collect();
    let mut body = ClusterBody::new(&api.tools.settings.cluster.scope, members);
    if let Lease::Mine(_) | Lease::Theirs(_) | Lease::Vacant { .. } = &status.seen.lease {
        let epoch = match &status.seen.lease {
            Lease::Mine(held) => held.epoch,
            Lease::Theirs(theirs) => theirs.epoch,
            Lease::Vacant { last_epoch, .. } => *last_epoch,
            Lease::Unknown => tanist_engine::Epoch::NONE,
        };
        body.tanist.insert("epoch".into(), epoch.0.into());
        let believed = view.primary.as_ref().filter(|face| face.epoch == epoch);
        body.tanist.insert("primary".into(), believed.map(|face| face.name.to_string()).into());
    }
    if view.fence_is_partial() {
        body.tanist.insert("fence".into(), "partial".into());
    }
    Some(body.encode())
}

fn leader(lease: &Lease, me: &MemberName) -> Option<MemberName> {
    match lease {
        Lease::Mine(_) => Some(me.clone()),
        Lease::Theirs(theirs) => Some(theirs.holder.clone()),
        Lease::Vacant { .. } | Lease::Unknown => None,
    }
}

fn role_of(name: &MemberName, leader: Option<&MemberName>, view: &StoreView, quorum: bool) -> ClusterRole {
    if leader == Some(name) {
        ClusterRole::Leader
    } else if view.sync.as_ref().is_some_and(|sync| sync.standbys.contains(name)) {
        if quorum { ClusterRole::QuorumStandby } else { ClusterRole::SyncStandby }
    } else {
        ClusterRole::Replica
    }
}

/// The body of `/history`: an empty list where there is none.
pub(super) fn history(api: &Api) -> String {
    let snapshot = api.tools.mirror.snapshot();
    let key = snapshot.get(&api.tools.keeper.keys().history());
    let rows = key.and_then(|key| HistoryKey::decode(&key.kv.value).ok()).map(|history| history.rows()).unwrap_or_default();
    rest_text(&rows)
}

/// The body of `/failsafe`; nothing where the mode is off.
pub(super) fn failsafe(api: &Api) -> Option<String> {
    let status = api.status.get()?;
    let snapshot = api.tools.mirror.snapshot();
    let value = snapshot.get(&api.tools.keeper.keys().failsafe()).filter(|_| status.policy.failsafe)?;
    let members = FailsafeKey::decode(&value.kv.value).ok()?.members;
    Some(rest_text(&members.iter().map(|(name, url)| (name.0.as_str(), url.as_str())).collect::<BTreeMap<_, _>>()))
}
