//! The store's keys in the engine's words.

use crate::model::store::{self, Snap, Value};
use tanist_engine::{Moment, Revision, StoreView, Switchover, SyncMode, SyncState};

/// The mode in `/config`.
pub fn mode(snap: &Snap) -> Option<SyncMode> {
    match &*snap.get(store::CONFIG)?.value {
        Value::Config(mode) => Some(*mode),
        _ => None,
    }
}

/// Reads a snapshot into the view.
pub fn read(snap: &Snap, now: Moment, view: &mut StoreView) {
    view.as_of = Some(now);
    view.initialize = snap.get(store::INITIALIZE).and_then(|kv| match &*kv.value {
        Value::Initialize(id) => Some(id.clone()),
        _ => None,
    });
    view.sync = snap.sync().map(|sync| SyncState { revision: Revision(snap.revision_of(store::SYNC)), ..sync.clone() });
    view.primary = snap.face().cloned();
    view.optime = snap.optime();
    view.members.clear();
    for node in 0.. {
        if store::MEMBER0 + node >= snap.len() {
            break;
        }
        if let Some(kv) = snap.get(store::MEMBER0 + node)
            && let Value::Member(member) = &*kv.value
        {
            view.members.push(member.clone());
        }
    }
    view.switchover = snap.get(store::FAILOVER).and_then(|kv| match &*kv.value {
        Value::Failover { leader, candidate } => {
            Some(Switchover { revision: Revision(kv.revision), leader: leader.clone(), candidate: candidate.clone() })
        }
        _ => None,
    });
    view.handoff = snap.get(store::HANDOFF).and_then(|kv| match &*kv.value {
        Value::Handoff(handoff) => Some(handoff.clone()),
        _ => None,
    });
    view.timelines.clear();
    if let Some(kv) = snap.get(store::TIMELINES)
        && let Value::Timelines(claims) = &*kv.value
    {
        view.timelines.extend(claims.iter().copied());
    }
}
