//! I2: `/sync` and the names in force never part.
//!
//! Told as a game. An adversary lets a write be acknowledged by as few nodes that may elect as the names allow, then lets all of those be
//! away while a new leader is elected. If so many electors are left that they can elect, the write is lost.

use super::{Violation, facts::Facts};
use crate::{DataMark, Marked, MemberName, Memory, Postgres, Revision, ServerRole, StandbySeen, SyncMode, SyncNames, SyncState};

/// `/sync` may be written so.
pub(super) fn write(facts: &Facts<'_>, memory: &Memory, next: &SyncState, data: &[DataMark]) -> Result<(), Violation> {
    facts.mine("writes /sync")?;
    facts.primary("writes /sync")?;
    let view = facts.seen.store.sync.clone().unwrap_or_default();
    if next.revision != view.revision {
        return Err(Violation::WrongRevision);
    }
    if facts.policy.synchronous == SyncMode::Off {
        return if next.leader.is_none() && next.standbys.is_empty() { Ok(()) } else { Err(Violation::SyncTooWide) };
    }
    if next.leader.as_ref() != Some(&facts.seen.me) || next.standbys.contains(&facts.seen.me) {
        return Err(Violation::SyncTooWide);
    }
    // What opens commits, before the store knows the cluster: another node may yet make another one.
    if facts.seen.store.initialize.is_none() {
        return Err(Violation::WrongState { what: "writes /sync" });
    }
    if next.standbys.is_empty() {
        return alone(facts, &view);
    }
    marks(facts, memory, next, data)?;
    if *next == view {
        // Nobody is added who has not been named before, and nobody's data are gone: it only ends other writes of that revision.
        return if view.standbys.iter().any(|name| raised(facts, &view, name)) { Err(Violation::DataForgotten) } else { Ok(()) };
    }
    let Some((names, standbys)) = replication(facts) else { return Err(Violation::SyncTooWide) };
    let behind = next.standbys.iter().filter(|name| !confirmed(memory, names, standbys, name)).count();
    if lost(names, next) || elect(next, behind) { Err(Violation::SyncTooWide) } else { Ok(()) }
}

/// Only this node leads, and it has everything. A strict cluster keeps the standbys that it has, unless none of them has kept its data
/// and nothing can be acknowledged meanwhile.
fn alone(facts: &Facts<'_>, view: &SyncState) -> Result<(), Violation> {
    let mine = view.leader.as_ref() == Some(&facts.seen.me) && !view.standbys.is_empty();
    if !facts.policy.synchronous.is_strict() || !mine {
        return Ok(());
    }
    let closed = replication(facts).is_some_and(|(names, _)| *names == SyncNames::Reserved);
    let useless = view.standbys.iter().all(|name| raised(facts, view, name));
    // Strict and out of step with its names, which were set by other hands: anything is better.
    let torn = replication(facts).is_some_and(|(names, _)| lost(names, view));
    if closed && (useless || torn) { Ok(()) } else { Err(Violation::StrictLoosened) }
}

/// The names may be set so: loosened only where no write of `/sync` can land any more that names somebody whom they do not demand.
pub(super) fn names(facts: &Facts<'_>, memory: &Memory, next: &SyncNames) -> Result<(), Violation> {
    facts.mine("sets the synchronous names")?;
    facts.primary("sets the synchronous names")?;
    let view = facts.seen.store.sync.clone().unwrap_or_default();
    if *next != SyncNames::Reserved && memory.sync_asked == Some(view.revision) {
        return Err(Violation::NamesTooWide);
    }
    if *next == SyncNames::Nobody && facts.policy.synchronous.is_strict() {
        return Err(Violation::NamesTooWide);
    }
    let Some(leader) = &view.leader else {
        // Anybody may lead: asynchronous, or just about to be.
        let open = !facts.policy.synchronous.is_on() || *next == SyncNames::Reserved;
        return if open { Ok(()) } else { Err(Violation::NamesTooWide) };
    };
    // The leader whom /sync names leads alone: another one must not acknowledge anything.
    let other = *leader != facts.seen.me && *next != SyncNames::Reserved;
    if other || lost(next, &view) { Err(Violation::NamesTooWide) } else { Ok(()) }
}

/// The game: whether a write can be acknowledged under these names that nobody of some electing set has.
fn lost(names: &SyncNames, sync: &SyncState) -> bool {
    let (count, listed) = match names {
        SyncNames::Reserved => return false,
        SyncNames::Nobody => (0, None),
        SyncNames::FirstOf { count, standbys } | SyncNames::AnyOf { count, standbys } => (*count as usize, Some(standbys)),
    };
    let strangers = listed.map_or(0, |listed| listed.iter().filter(|name| !sync.standbys.contains(*name)).count());
    let witnesses = count - count.min(strangers);
    elect(sync, sync.standbys.len() - witnesses.min(sync.standbys.len()))
}

/// Whether so many of its standbys can elect one of them.
fn elect(sync: &SyncState, standbys: usize) -> bool {
    standbys > sync.quorum as usize
}

/// The marks of all named data directories are compared, as known before the flush positions were read.
fn marks(facts: &Facts<'_>, memory: &Memory, next: &SyncState, data: &[DataMark]) -> Result<(), Violation> {
    let compared = next.standbys.iter().all(|name| {
        let given = data.iter().find(|mark| mark.name == *name).map(|mark| mark.revision);
        given == Some(mark(facts, name))
    });
    let early = memory.data_since.is_some_and(|since| since <= facts.seen.probed) && memory.data == facts.seen.store.data;
    let unmarked = next.standbys.iter().all(|name| mark(facts, name) == Revision(0));
    let kept = facts.seen.store.sync.as_ref() == Some(next);
    let fresh = next.standbys.iter().all(|name| fresh(facts, memory, name));
    if compared && (unmarked || kept || early && fresh) { Ok(()) } else { Err(Violation::DataForgotten) }
}

/// Named by this leader since its mark, or by a connection that began after the mark was known.
fn fresh(facts: &Facts<'_>, memory: &Memory, name: &MemberName) -> bool {
    let mark = mark(facts, name);
    let view = facts.seen.store.sync.as_ref().filter(|view| view.leader.as_ref() == Some(&facts.seen.me));
    let named = view.is_some_and(|view| view.standbys.contains(name) && !raised(facts, view, name));
    let standbys = replication(facts).map_or(&[][..], |(_, standbys)| standbys);
    let before = memory.marked.iter().find(|marked| marked.mark.name == *name && marked.mark.revision == mark);
    let stale = |before: &Marked| standbys.iter().any(|seen| seen.name == *name && before.before.contains(&seen.connection));
    mark == Revision(0) || named || before.is_some_and(|before| !stale(before))
}

fn mark(facts: &Facts<'_>, name: &MemberName) -> Revision {
    let marks = facts.seen.store.data.iter().filter(|mark| mark.name == *name);
    marks.map(|mark| mark.revision).next().unwrap_or_default()
}

/// Its data directory was given up after `/sync` had named it.
fn raised(facts: &Facts<'_>, view: &SyncState, name: &MemberName) -> bool {
    mark(facts, name) > view.revision
}

/// It streams and has flushed what was written when the present names came into force.
fn confirmed(memory: &Memory, names: &SyncNames, standbys: &[StandbySeen], name: &MemberName) -> bool {
    let target = memory.sync_target.as_ref().filter(|target| target.names == *names).map(|target| target.lsn);
    let streams = standbys.iter().find(|standby| standby.name == *name && standby.streaming);
    streams.is_some_and(|standby| target.is_some_and(|target| standby.flushed >= target))
}

/// The names in force and the walsenders.
fn replication<'a>(facts: &Facts<'a>) -> Option<(&'a SyncNames, &'a [StandbySeen])> {
    let Postgres::Running(running) = &facts.seen.postgres else { return None };
    match &running.role {
        ServerRole::Primary { names_in_force, standbys, .. } => Some((names_in_force.as_ref()?, standbys)),
        ServerRole::Standby { .. } => None,
    }
}
