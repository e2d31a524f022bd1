//! I2: a server is pointed at a leader only when all of its WAL is known to be, or at least not known not to be, part of the leader's.

use super::{Violation, facts::Facts};
use crate::{Epoch, Position, Postgres, ServerRole, Timeline, TimelineClaim, Upstream};

/// A server that is about to be started.
pub(super) fn before_start(facts: &Facts<'_>, leader: &Upstream) -> Result<(), Violation> {
    match &facts.seen.postgres {
        Postgres::Stopped(stopped) if stopped.end_known => contained(facts, stopped.position, leader),
        _ => Err(Violation::EndUnknown),
    }
}

/// A server that runs.
pub(super) fn before_follow(facts: &Facts<'_>, leader: &Upstream) -> Result<(), Violation> {
    let Postgres::Running(running) = &facts.seen.postgres else { return Err(Violation::EndUnknown) };
    match &running.role {
        ServerRole::Standby { position: Some(own), .. } => contained(facts, *own, leader),
        ServerRole::Standby { position: None, .. } | ServerRole::Primary { .. } => Err(Violation::EndUnknown),
    }
}

/// As far as the claims tell, by name of the timeline, who opened it, and where it was left.
fn contained(facts: &Facts<'_>, own: Position, leader: &Upstream) -> Result<(), Violation> {
    let face = facts.seen.store.primary.as_ref().filter(|face| face.name == leader.name && face.epoch == leader.epoch);
    let Some(face) = face else { return Ok(()) };
    let mut at = face.timeline;
    let claims = &facts.seen.store.timelines;
    while at > own.timeline {
        // Not recorded: nothing is known, and PostgreSQL compares what it can.
        let Some(claim) = claimed(claims, at) else { return Ok(()) };
        let Some(parent) = claim.parent.filter(|parent| *parent < at) else { return Ok(()) };
        if parent == own.timeline && claim.begin.is_some_and(|begin| own.lsn > begin) {
            return Err(Violation::OtherHistory);
        }
        at = parent;
    }
    let opened_by = claimed(claims, face.timeline).map_or(Epoch::NONE, |claim| claim.epoch);
    let known = opened_by != Epoch::NONE && own.opened_by != Epoch::NONE;
    let other_branch = own.timeline == face.timeline && known && opened_by != own.opened_by;
    if at < own.timeline || other_branch { Err(Violation::OtherHistory) } else { Ok(()) }
}

fn claimed(claims: &[TimelineClaim], timeline: Timeline) -> Option<&TimelineClaim> {
    claims.iter().filter(|claim| claim.timeline == timeline).max_by_key(|claim| claim.epoch)
}
