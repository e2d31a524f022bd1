//! The store's keys in the engine's words.

use crate::model::store::{self, Key, Snap, Value};
use std::rc::Rc;
use tanist_engine::{Moment, Revision, StoreView, Switchover, SyncMode, SyncState};

/// The mode in `/config`.
pub fn mode(snap: &Snap) -> Option<SyncMode> {
    match &*snap.get(store::CONFIG)?.value {
        Value::Config(mode) => Some(*mode),
        _ => None,
    }
}

/// Whether a key has another content in the two snapshots.
fn differs(known: Option<&Snap>, snap: &Snap, key: Key) -> bool {
    match (known.and_then(|known| known.get(key)), snap.get(key)) {
        (Some(one), Some(other)) => one.revision != other.revision || !Rc::ptr_eq(&one.value, &other.value),
        (None, None) => false,
        _ => true,
    }
}

/// Reads a snapshot into a view that shows `known`: what differs. `true`: the claimed timelines do.
pub fn read(known: Option<&Snap>, snap: &Snap, now: Moment, view: &mut StoreView) -> bool {
    view.as_of = Some(now);
    let differs = |key| differs(known, snap, key);
    if differs(store::INITIALIZE) {
        view.initialize = snap.get(store::INITIALIZE).and_then(|kv| match &*kv.value {
            Value::Initialize(id) => Some(id.clone()),
            _ => None,
        });
    }
    if differs(store::SYNC) {
        let revision = Revision(snap.revision_of(store::SYNC));
        view.sync = snap.sync().map(|sync| SyncState { revision, ..sync.clone() });
    }
    if differs(store::PRIMARY) {
        view.primary = snap.face().cloned();
    }
    view.optime = snap.optime();
    if (store::MEMBER0..snap.len()).any(differs) {
        members(known, snap, view);
    }
    if differs(store::FAILOVER) {
        view.switchover = snap.get(store::FAILOVER).and_then(|kv| match &*kv.value {
            Value::Failover { leader, candidate } => {
                Some(Switchover { revision: Revision(kv.revision), leader: leader.clone(), candidate: candidate.clone() })
            }
            _ => None,
        });
    }
    if differs(store::HANDOFF) {
        view.handoff = snap.get(store::HANDOFF).and_then(|kv| match &*kv.value {
            Value::Handoff(handoff) => Some(handoff.clone()),
            _ => None,
        });
    }
    let timelines = differs(store::TIMELINES);
    if timelines {
        view.timelines.clear();
        if let Some(Value::Timelines(claims)) = snap.get(store::TIMELINES).map(|kv| &*kv.value) {
            view.timelines.extend(claims.iter().copied());
        }
    }
    timelines
}

/// Members in the order of their keys; those that are as before keep their place.
fn members(known: Option<&Snap>, snap: &Snap, view: &mut StoreView) {
    let mut place = 0;
    for key in store::MEMBER0..snap.len() {
        let before = known.is_some_and(|known| known.get(key).is_some());
        let member = snap.get(key).and_then(|kv| if let Value::Member(member) = &*kv.value { Some(member) } else { None });
        match (before, member) {
            (true, Some(member)) => {
                if differs(known, snap, key) {
                    view.members[place] = member.clone();
                }
                place += 1;
            }
            (false, Some(member)) => {
                view.members.insert(place, member.clone());
                place += 1;
            }
            (true, None) => drop(view.members.remove(place)),
            (false, None) => {}
        }
    }
}
