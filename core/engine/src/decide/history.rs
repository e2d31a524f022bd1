//! Whether a node's WAL is part of another's history.
//!
//! Timelines are compared by what is recorded of them in `tanist/timelines`, never by number or byte position alone: two leaders in
//! turn may each have opened a timeline of the same number (SAFETY §4.3).

use crate::{Epoch, Lsn, Position, Timeline, TimelineClaim};

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

/// Compares own history with that of a leader on timeline `leader`.
pub(super) fn ancestry(own: Position, leader: Timeline, claims: &[TimelineClaim]) -> Ancestry {
    if own.timeline > leader {
        return Ancestry::Diverged;
    }
    if own.timeline == leader {
        let opened_by = claims.iter().find(|claim| claim.timeline == leader).map(|claim| claim.epoch);
        let other = opened_by.is_some_and(|epoch| own.opened_by != Epoch::NONE && own.opened_by != epoch);
        return if other { Ancestry::Diverged } else { Ancestry::Prefix };
    }
    // The smallest begin is right even when a timeline in between was no ancestor of the leader's: at worst it is too strict. One that
    // was claimed and whose begin nobody recorded may have begun before own end: its leader may have died right after opening it.
    match begins(own.timeline, leader, claims).min() {
        Some(fork) if own.lsn > fork => Ancestry::Diverged,
        Some(_) if all_recorded(own.timeline, leader, claims) => Ancestry::Prefix,
        _ => Ancestry::Uncertain,
    }
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
