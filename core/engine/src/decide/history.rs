//! Whether a node's WAL is part of another's history.
//!
//! Timelines are compared by what is recorded of them in `tanist/timelines`, never by number or byte position alone: two leaders in
//! turn may each have opened a timeline of the same number (SAFETY §4.3).

use crate::{Epoch, Lsn, Position, StoreView, Timeline, TimelineClaim};

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ancestry {
    /// Own history is a prefix of the leader's.
    Prefix,
    /// Own history has something the leader's has not.
    Diverged,
    /// Nobody has recorded yet where the leader's timeline begins.
    Uncertain,
}

/// The position with the epoch that opened its timeline.
pub(super) fn placed(position: Position, claims: &[TimelineClaim]) -> Position {
    let opened_by = find(position.timeline, claims).map_or(Epoch::NONE, |claim| claim.epoch);
    Position { opened_by, ..position }
}

/// Compares own history with that of a leader on timeline `leader`.
pub(super) fn ancestry(own: Position, leader: Timeline, claims: &[TimelineClaim]) -> Ancestry {
    if own.timeline > leader {
        return Ancestry::Diverged;
    }
    if own.timeline == leader {
        let opened_by = find(leader, claims).map(|claim| claim.epoch);
        let other = opened_by.is_some_and(|epoch| own.opened_by != Epoch::NONE && own.opened_by != epoch);
        return if other { Ancestry::Diverged } else { Ancestry::Prefix };
    }
    if let Some(verdict) = by_parents(own, leader, claims) {
        return verdict;
    }
    // The smallest begin is right even when a timeline in between was no ancestor of the leader's: at worst it is too strict. One that
    // was claimed and whose begin nobody recorded may have begun before own end: its leader may have died right after opening it.
    match begins(own.timeline, leader, claims).min() {
        Some(fork) if own.lsn > fork => Ancestry::Diverged,
        Some(_) if all_recorded(own.timeline, leader, claims) => Ancestry::Prefix,
        _ => Ancestry::Uncertain,
    }
}

/// A position that the last proved primary's history has not.
pub(super) fn strayed(own: Position, store: &StoreView) -> bool {
    let diverged = |leader| ancestry(own, leader, &store.timelines) == Ancestry::Diverged;
    store.primary.as_ref().is_some_and(|face| own.timeline < face.timeline && diverged(face.timeline))
}

/// From the leader's timeline back, parent by parent, to where own timeline was left; nothing when a parent is not recorded.
fn by_parents(own: Position, leader: Timeline, claims: &[TimelineClaim]) -> Option<Ancestry> {
    let mut at = leader;
    for _ in claims {
        let claim = find(at, claims)?;
        let parent = claim.parent.filter(|parent| *parent < at)?;
        if parent < own.timeline {
            return Some(Ancestry::Diverged);
        }
        if parent == own.timeline {
            let begin = claim.begin?;
            return Some(if own.lsn > begin { Ancestry::Diverged } else { Ancestry::Prefix });
        }
        at = parent;
    }
    None
}

fn find(timeline: Timeline, claims: &[TimelineClaim]) -> Option<&TimelineClaim> {
    claims.iter().filter(|claim| claim.timeline == timeline).max_by_key(|claim| claim.epoch)
}

/// The leader's timeline is claimed, and every begin after `own` is known.
fn all_recorded(own: Timeline, leader: Timeline, claims: &[TimelineClaim]) -> bool {
    let claimed = claims.iter().any(|claim| claim.timeline == leader);
    claimed && between(own, leader, claims).all(|claim| claim.begin.is_some())
}

/// The claims of the timelines after `own` up to `leader`.
fn between(own: Timeline, leader: Timeline, claims: &[TimelineClaim]) -> impl Iterator<Item = &TimelineClaim> {
    claims.iter().filter(move |claim| claim.timeline > own && claim.timeline <= leader)
}

/// Where the timelines after `own` up to `leader` begin.
fn begins(own: Timeline, leader: Timeline, claims: &[TimelineClaim]) -> impl Iterator<Item = Lsn> {
    between(own, leader, claims).filter_map(|claim| claim.begin)
}
