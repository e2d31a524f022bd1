//! The promise: a standby follows no leader of a lower epoch than one whose lease it has seen (SAFETY §4.2).
//!
//! Cut first, then read: only after the walreceiver is gone for good does the position say what this node can ever have acknowledged.
//! What is promised is on the disk before anybody is told, and a restarted agent repeats the cut before it believes it.

use super::{members, replaced, turn::Turn};
use crate::{Action, Epoch, Job, Position, Postgres, Promised, Reason, Role, ServerRole, Theirs, Upstream};
use std::time::Duration;

/// Whether promises decide anything: commits wait for standbys, or did under the present `/sync`.
fn matters(turn: &Turn<'_>) -> bool {
    turn.by_sync()
}

/// Under somebody else's lease: promise, then tell.
pub(super) fn give(
    turn: &mut Turn<'_>,
    theirs: &Theirs,
    upstream: Option<&Upstream>,
    position: Option<Position>,
) -> Option<Reason> {
    let promised = turn.seen.promised.as_ref()?;
    if let Some(reason) = refused(promised, theirs) {
        return Some(reason);
    }
    if !matters(turn) || follows(turn, theirs, upstream) {
        return None;
    }
    if !kept(promised, theirs.epoch) {
        let job = Job::Promise { epoch: theirs.epoch, to: Some(theirs.holder.clone()) };
        return Some(turn.run(job, Reason::Promising { epoch: theirs.epoch }));
    }
    tell(turn, theirs.epoch, position);
    None
}

/// The candidate's own: nothing more is told, for it counts itself.
pub(super) fn own(turn: &mut Turn<'_>, epoch: Epoch) -> Option<Reason> {
    let promised = turn.seen.promised.as_ref()?;
    let job = Job::Promise { epoch, to: Some(turn.seen.me.clone()) };
    (!kept(promised, epoch)).then(|| turn.run(job, Reason::Promising { epoch }))
}

/// After a restart of the agent nobody knows how far the cut had come: it is repeated for the epoch on the disk, whoever leads.
pub(super) fn repeat(turn: &mut Turn<'_>, upstream: Option<&Upstream>) -> Option<Reason> {
    let Promised { epoch, to, cut } = turn.seen.promised.clone()?;
    let open = !cut && epoch != Epoch::NONE && upstream.is_none_or(|upstream| upstream.epoch < epoch);
    open.then(|| turn.run(Job::Promise { epoch, to }, Reason::Promising { epoch }))
}

/// The position was read after the cut for this epoch, from a standby that is told to follow nobody.
pub(super) fn read_after_cut(turn: &Turn<'_>, epoch: Epoch) -> bool {
    let idle = match &turn.seen.postgres {
        Postgres::Running(running) => matches!(running.role, ServerRole::Standby { upstream: None, .. }),
        _ => false,
    };
    idle && turn.memory.cut_since.is_some_and(|(of, since)| of == epoch && turn.seen.probed >= since)
}

/// The position was read before the cut for this epoch, and WAL of the old leader may have arrived until then: it may lie beyond the
/// history of the new one, which would count what this node reports at first.
pub(super) fn read_before_cut(turn: &Turn<'_>, epoch: Epoch) -> bool {
    turn.memory.cut_since.is_some_and(|(of, since)| of == epoch && turn.seen.probed < since)
}

/// The next look at PostgreSQL may show nothing new but that it was a later one.
pub(super) fn look_again(turn: &mut Turn<'_>) {
    let soon = turn.now + Duration::from_millis(100);
    turn.wake(soon);
}

/// Whatever the store says now: a restored one counts from low again, and comes past every number it has handed out before.
fn refused(promised: &Promised, theirs: &Theirs) -> Option<Reason> {
    let Theirs { holder, epoch, .. } = theirs;
    promised.forbids(holder, *epoch).then(|| match &promised.to {
        Some(to) if promised.epoch == *epoch => Reason::PromisedOther { epoch: *epoch, to: to.clone(), leader: holder.clone() },
        _ => Reason::PromisedHigher { promised: promised.epoch, epoch: *epoch },
    })
}

fn kept(promised: &Promised, epoch: Epoch) -> bool {
    promised.epoch == epoch && promised.cut
}

/// It follows the holder of this lease already, or the last proved primary, who has been given a new epoch for the lease it had. A last
/// primary that says it is none any more has taken the lease anew, as a standby, and may wait for this very promise.
fn follows(turn: &Turn<'_>, theirs: &Theirs, upstream: Option<&Upstream>) -> bool {
    let Some(upstream) = upstream else { return false };
    let shown = turn.seen.store.primary.as_ref().is_some_and(|face| face.name == theirs.holder);
    let leads = || members::find(turn, &theirs.holder).is_none_or(|member| member.role == Role::Primary);
    upstream.epoch >= theirs.epoch || shown && upstream.name == theirs.holder && leads()
}

/// The promise is given at once, the position when it is known.
fn tell(turn: &mut Turn<'_>, epoch: Epoch, position: Option<Position>) {
    if position.is_some() && !read_after_cut(turn, epoch) {
        look_again(turn);
    }
    let position = position.filter(|_| read_after_cut(turn, epoch) && !replaced::forgotten(turn));
    let told = turn.seen.store.promises.iter().find(|promise| promise.name == turn.seen.me);
    let enough =
        told.is_some_and(|told| told.epoch > epoch || told.epoch == epoch && (told.position.is_some() || position.is_none()));
    if !enough {
        let revision = told.map(|told| told.revision).unwrap_or_default();
        turn.act(Action::WritePromise { epoch, position, revision });
    }
}
