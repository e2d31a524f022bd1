//! Whom commits shall wait for: standbys that stream from here and may lead, those with room on their disks and the present ones first,
//! for a moment also while they are away.

use super::{members, replaced, sync::Scene, turn::Turn};
use crate::{Member, MemberName, Moment, Revision, StandbySeen, Storage, SyncMode, SyncStep};
use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

/// A standby further behind is not waited for: commits would hang until it has caught up. One WAL segment.
const NEAR: u64 = 16 << 20;

/// The standbys that shall acknowledge.
pub(super) struct Chosen {
    pub standbys: BTreeSet<MemberName>,
    /// One of them is away, and given until then.
    pub grace: Option<(MemberName, Moment)>,
}

/// The order in which they are chosen, the largest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    alive: bool,
    room: bool,
    named: bool,
    demanded: bool,
    complete: bool,
    priority: i32,
    flushed: u64,
    name: Reverse<&'a MemberName>,
}

/// Chooses, and remembers since when those are away that are missed.
pub(super) fn choose(turn: &mut Turn<'_>, scene: &Scene<'_>) -> Chosen {
    notice_keys(turn, scene);
    let away = |name: &&MemberName| **name != turn.seen.me && !fit(turn, scene, name);
    let present: Vec<MemberName> = incumbents(scene).filter(away).cloned().collect();
    let now = turn.now;
    let known = std::mem::take(&mut turn.memory.sync_missed);
    let since = |name: &MemberName| members::first_missed(&known, name).unwrap_or(now);
    turn.memory.sync_missed = present.into_iter().map(|name| (name.clone(), since(&name))).collect();
    let missed = turn.memory.sync_missed.clone();
    let (mut standbys, mut grace) = (ranked(turn, scene), None);
    for (name, since) in missed {
        let until = since + patience(turn);
        let gave_up = replaced::gave_up(&turn.seen.store, scene.present, &name)
            || scene.doubtful.contains(&name)
            || taken_out(turn, scene, &name);
        if !gave_up && !turn.reached(until) {
            standbys.insert(0, name.clone());
            grace = grace.or(Some((name, until)));
        }
    }
    if let SyncMode::On { .. } = turn.policy.synchronous {
        standbys.truncate(turn.policy.synchronous.node_count() as usize);
    }
    Chosen { standbys: standbys.into_iter().collect(), grace }
}

/// Since when standbys that `/sync` names have no member key: their servers stream, and their agents are gone or do not reach the store.
fn notice_keys(turn: &mut Turn<'_>, scene: &Scene<'_>) {
    let known = std::mem::take(&mut turn.memory.sync_keyless);
    let gone = scene.present.standbys.iter().filter(|name| **name != turn.seen.me && members::find(turn, name).is_none());
    let since = |name: &MemberName| members::first_missed(&known, name).unwrap_or(turn.now);
    let keyless: Vec<(MemberName, Moment)> = gone.map(|name| (name.clone(), since(name))).collect();
    for (_, since) in &keyless {
        let until = *since + turn.policy.ttl * 2;
        turn.wake(until);
    }
    turn.memory.sync_keyless = keyless;
}

/// Its agent can take the lease, or has not been away for long. One that cannot is named only where nobody else is there: were the leader
/// lost, nobody could lead.
fn is_alive(turn: &Turn<'_>, name: &MemberName) -> bool {
    members::first_missed(&turn.memory.sync_keyless, name).is_none_or(|since| turn.now < since + turn.policy.ttl * 2)
}

/// Commits still wait for it and `/sync` does not name it any more, perhaps so that it may give up its data: it has to stream first.
fn taken_out(turn: &Turn<'_>, scene: &Scene<'_>, name: &MemberName) -> bool {
    !scene.present.standbys.contains(name) && replaced::mark(&turn.seen.store, name) > Revision::default()
}

/// Those that have everything, so many as are asked for.
pub(super) fn complete(turn: &Turn<'_>, scene: &Scene<'_>) -> BTreeSet<MemberName> {
    let mut all: Vec<MemberName> = ranked(turn, scene).into_iter().filter(|name| has_everything(scene, name)).collect();
    if let SyncMode::On { .. } = turn.policy.synchronous {
        all.truncate(turn.policy.synchronous.node_count() as usize);
    }
    all.into_iter().collect()
}

/// The one who is away and still waited for.
pub(super) fn gone(turn: &mut Turn<'_>, scene: &Scene<'_>) -> Option<SyncStep> {
    let (standby, since) = turn.memory.sync_missed.first().cloned()?;
    let until = since + patience(turn);
    (scene.present.standbys.contains(&standby) && !turn.reached(until)).then_some(SyncStep::Grace { standby, until })
}

/// Who is away has been away for long.
pub(super) fn patience_is_over(turn: &mut Turn<'_>) -> bool {
    let Some(since) = turn.memory.sync_missed.iter().map(|(_, since)| *since).min() else { return false };
    let until = since + patience(turn) * 2;
    turn.reached(until)
}

/// The marks of these members' data directories were known before the present flush positions were read. An absent mark needs no
/// such care: a directory that was never given up.
pub(super) fn marks_known(turn: &mut Turn<'_>, standbys: &BTreeSet<MemberName>) -> bool {
    let marked = turn.seen.store.data.iter().any(|mark| standbys.contains(&mark.name));
    let known = !marked || turn.memory.data_since.is_some_and(|since| turn.seen.probed >= since);
    if !known {
        let again = turn.now + Duration::from_millis(100);
        turn.wake(again);
    }
    known
}

/// It streams from here.
pub(super) fn streams(scene: &Scene<'_>, name: &MemberName) -> bool {
    seen(scene, name).is_some()
}

/// It has flushed what was written when the present names came into force.
pub(super) fn has_everything(scene: &Scene<'_>, name: &MemberName) -> bool {
    seen(scene, name).is_some_and(|standby| standby.flushed >= scene.target)
}

fn seen<'a>(scene: &'a Scene<'_>, name: &MemberName) -> Option<&'a StandbySeen> {
    members::streaming(scene.primary.role, name).filter(|_| !scene.doubtful.contains(name))
}

/// Those that commits wait for, or `/sync` names.
fn incumbents<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = &'a MemberName> {
    let demanded = scene.names.demand().into_iter().flat_map(|(_, standbys)| standbys);
    scene.present.standbys.iter().chain(demanded.filter(|name| !scene.present.standbys.contains(name)))
}

/// All that could acknowledge now, the best first.
fn ranked(turn: &Turn<'_>, scene: &Scene<'_>) -> Vec<MemberName> {
    let named = |name: &MemberName| scene.present.standbys.contains(name);
    let mine = scene.present.leader.as_ref() == Some(&turn.seen.me);
    let strange = |name: &&MemberName| mine && **name != turn.seen.me && members::find(turn, name).is_none();
    let strangers = scene.present.standbys.iter().filter(strange);
    let rank = |name| Rank {
        alive: is_alive(turn, name),
        room: members::find(turn, name).is_none_or(|member| member.storage == Storage::Good),
        named: named(name),
        demanded: scene.names.demand().is_some_and(|(_, standbys)| standbys.contains(name)),
        complete: has_everything(scene, name),
        priority: members::find(turn, name).map_or(1, |member| member.tags.priority()),
        flushed: seen(scene, name).map_or(0, |standby| standby.flushed.0),
        name: Reverse(name),
    };
    let near = |name: &MemberName| {
        let end = scene.primary.position.lsn.0;
        seen(scene, name).is_some_and(|standby| end.saturating_sub(standby.flushed.0) <= NEAR) || has_everything(scene, name)
    };
    let incumbent = |name: &MemberName| incumbents(scene).any(|known| known == name);
    let all = members::others(turn).map(|member| &member.name).chain(strangers);
    let able = all.filter(|name| fit(turn, scene, name) && (incumbent(name) || near(name)));
    let mut ranks: Vec<Rank<'_>> = able.map(rank).collect();
    ranks.sort_unstable_by(|one, other| other.cmp(one));
    ranks.into_iter().map(|rank| rank.name.0.clone()).collect()
}

/// It streams, may lead, keeps the promises of a tanist, and has not given up its data. Of one that `/sync` names an absent member key
/// says nothing: only its agent is away.
fn fit(turn: &Turn<'_>, scene: &Scene<'_>, name: &MemberName) -> bool {
    let member = members::find(turn, name);
    let serves = member.map_or(scene.present.standbys.contains(name), serves);
    serves && streams(scene, name) && !replaced::gave_up(&turn.seen.store, scene.present, name)
}

/// How long commits wait for a standby that is away.
fn patience(turn: &Turn<'_>) -> Duration {
    (turn.policy.ttl / 5).min(Duration::from_secs(1))
}

/// A member that may be named in `/sync`: one that may lead and can keep the promises of a tanist. One that cannot write acknowledges
/// nothing, however long its connection lives on.
fn serves(member: &Member) -> bool {
    member.storage != Storage::Broken && member.tanist && !member.tags.nosync && member.tags.may_lead()
}
