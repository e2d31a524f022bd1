//! The store's keys in the engine's words.

use crate::model::{
    config::Config,
    store::{self, Key, Snap, Value},
};
use std::rc::Rc;
use tanist_engine::{DataMark, Member, Moment, Promise, Revision, StoreView, Switchover, SyncState};

/// `/config`.
pub fn config(snap: &Snap) -> Option<Config> {
    match &*snap.get(store::CONFIG)?.value {
        Value::Config(config) => Some(*config),
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

/// What differs in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Positions, and what is no part of the view.
    Idle,
    /// What members say of themselves: one bit for each.
    Members(u16),
    /// Something else.
    Other,
    /// The claimed timelines.
    Timelines,
}

/// Reads a snapshot into a view that shows `known`: what differs.
pub fn read(known: Option<&Snap>, snap: &Snap, now: Moment, view: &mut StoreView) -> News {
    let mut news = if view.as_of.is_none() { News::Other } else { News::Idle };
    view.as_of = Some(now);
    let changed = snap.changes_since(known);
    if changed == 0 {
        return news;
    }
    let mut differs = |key| {
        let differs = changed >> key & 1 != 0 && differs(known, snap, key);
        if differs {
            news = news.max(News::Other);
        }
        differs
    };
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
    if (0..snap.nodes()).any(|node| differs(snap.promise(node)) || differs(snap.data(node))) {
        fence(snap, view);
    }
    if differs(store::FAILSAFE) {
        view.failsafe = snap.get(store::FAILSAFE).and_then(|kv| match &*kv.value {
            Value::Failsafe(named) => Some(named.clone()),
            _ => None,
        });
    }
    if differs(store::TIMELINES) {
        news = News::Timelines;
        view.timelines.clear();
        view.timelines.extend_from_slice(snap.claims());
    }
    let keys = (1 << snap.nodes()) - 1;
    if changed >> store::MEMBER0 & keys == 0 { news } else { news.max(members(known, snap, view)) }
}

/// Promises and marks of data directories.
fn fence(snap: &Snap, view: &mut StoreView) {
    let keys = |key: fn(&Snap, usize) -> Key| (0..snap.nodes()).filter_map(move |node| snap.get(key(snap, node)));
    let promises = keys(Snap::promise).filter_map(|kv| match &*kv.value {
        Value::Promise(promise) => Some(Promise { revision: Revision(kv.revision), ..promise.clone() }),
        _ => None,
    });
    view.promises = promises.collect();
    let marks = keys(Snap::data).filter_map(|kv| match &*kv.value {
        Value::Data(name) => Some(DataMark { name: name.clone(), revision: Revision(kv.revision) }),
        _ => None,
    });
    view.data = marks.collect();
}

/// Members in the order of their keys; those that are as before keep their place.
fn members(known: Option<&Snap>, snap: &Snap, view: &mut StoreView) -> News {
    let (mut place, mut told, mut others) = (0, 0, false);
    for key in store::MEMBER0..store::MEMBER0 + snap.nodes() {
        let before = known.is_some_and(|known| known.get(key).is_some());
        let member = snap.member(key - store::MEMBER0);
        match (before, member) {
            (true, Some(member)) => {
                if differs(known, snap, key) && tell(&mut view.members[place], member) {
                    told |= 1 << (key - store::MEMBER0);
                }
                place += 1;
            }
            (false, Some(member)) => {
                view.members.insert(place, member.clone());
                others = true;
                place += 1;
            }
            (true, None) => {
                view.members.remove(place);
                others = true;
            }
            (false, None) => {}
        }
    }
    match (others, told) {
        (true, _) => News::Other,
        (false, 0) => News::Idle,
        (false, told) => News::Members(told),
    }
}

/// Takes over what a member says now. `true`: more than its position has changed.
fn tell(known: &mut Member, member: &Member) -> bool {
    known.lsn = member.lsn;
    let more = known != member;
    if more {
        known.clone_from(member);
    }
    more
}
