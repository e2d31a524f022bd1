//! I2: promises are kept, and enough of them are counted before a standby is opened.

use super::{Violation, facts::Facts};
use crate::{Epoch, Lease, MemberName, Position, Postgres, Revision, ServerRole, SyncState};

/// Only an epoch that somebody holds is promised, to him, and never less than before.
pub(super) fn make(facts: &Facts<'_>, epoch: Epoch, to: Option<&MemberName>) -> Result<(), Violation> {
    let standby = match &facts.seen.postgres {
        Postgres::Running(running) => matches!(running.role, ServerRole::Standby { .. }),
        _ => false,
    };
    let held = match &facts.seen.lease {
        Lease::Mine(held) => Some((held.epoch, Some(&facts.seen.me))),
        Lease::Theirs(theirs) => Some((theirs.epoch, Some(&theirs.holder))),
        Lease::Vacant { .. } | Lease::Unknown => None,
    };
    let before = facts.seen.promised.as_ref();
    let again = before.map_or((Epoch::NONE, None), |before| (before.epoch, before.to.as_ref()));
    let kept = |leader| before.is_none_or(|before| !before.forbids(leader, epoch));
    let sound = standby && (again == (epoch, to) || held == Some((epoch, to)) && to.is_some_and(kept));
    if sound { Ok(()) } else { Err(Violation::PromiseUnsound) }
}

/// What is told has been done, and the position was read from a standby that receives nothing any more.
pub(super) fn tell(facts: &Facts<'_>, epoch: Epoch, position: Option<Position>, revision: Revision) -> Result<(), Violation> {
    let told = facts.seen.store.promises.iter().find(|promise| promise.name == facts.seen.me);
    if told.map(|told| told.revision).unwrap_or_default() != revision {
        return Err(Violation::WrongRevision);
    }
    let kept = facts.seen.promised.as_ref().is_some_and(|promised| promised.epoch == epoch && promised.cut);
    let lower = told.is_some_and(|told| told.epoch > epoch);
    let (here, upstream) = match &facts.seen.postgres {
        Postgres::Running(running) => match &running.role {
            ServerRole::Standby { position, upstream, .. } => (*position, upstream.as_ref()),
            ServerRole::Primary { .. } => return Err(Violation::PromiseUnsound),
        },
        _ => return Err(Violation::PromiseUnsound),
    };
    let read = position.is_none_or(|told| here == Some(told) && upstream.is_none() && !facts.seen.directory_replaced);
    if kept && !lower && read { Ok(()) } else { Err(Violation::PromiseUnsound) }
}

/// Everything that was acknowledged under `sync` is here: this node alone meets every set that could acknowledge, or those who have
/// promised this very epoch do, and none of them has more.
pub(super) fn elected(facts: &Facts<'_>, sync: &SyncState, epoch: Epoch) -> Result<(), Violation> {
    let me = &facts.seen.me;
    let Some(leader) = &sync.leader else { return Ok(()) };
    if facts.seen.directory_replaced {
        return Err(Violation::DataForgotten);
    }
    if leader == me {
        return Ok(());
    }
    if !sync.standbys.contains(me) {
        return Err(Violation::NotInSync);
    }
    // n - k of n may be without a write that k acknowledged: with so many others there is one who has it.
    if sync.quorum == 0 {
        return Ok(());
    }
    let Postgres::Running(running) = &facts.seen.postgres else { return Err(Violation::NotElected) };
    let ServerRole::Standby { position: Some(own), upstream: None, .. } = &running.role else {
        return Err(Violation::NotElected);
    };
    let cut = facts.seen.promised.as_ref().is_some_and(|promised| promised.epoch == epoch && promised.cut);
    let (mut others, mut decisive) = (0, false);
    for (name, position) in votes(facts, epoch) {
        if name != leader && !sync.standbys.contains(name) {
            continue;
        }
        if more(facts, position, *own) {
            return Err(Violation::NotElected);
        }
        others += u32::from(sync.standbys.contains(name));
        decisive |= name == leader;
    }
    for name in patronis(facts, sync) {
        others += u32::from(sync.standbys.contains(name));
        decisive |= name == leader;
    }
    if cut && (decisive || others >= sync.quorum) { Ok(()) } else { Err(Violation::NotElected) }
}

/// Who has a say by a promise of this epoch.
fn votes<'a>(facts: &Facts<'a>, epoch: Epoch) -> impl Iterator<Item = (&'a MemberName, Position)> + use<'a> {
    let seen = facts.seen;
    let promises = seen.store.promises.iter().filter(move |promise| promise.epoch == epoch && promise.name != seen.me);
    promises.filter_map(|promise| Some((&promise.name, promise.position?)))
}

/// Those that answer and cannot promise, for they are Patronis. With them the guarantee is Patroni's.
fn patronis<'a>(facts: &Facts<'a>, sync: &SyncState) -> impl Iterator<Item = &'a MemberName> + use<'a> {
    let seen = facts.seen;
    let named: Vec<_> = seen.store.members.iter().filter(|member| !member.tanist && member.name != seen.me).collect();
    let named: Vec<_> = named.into_iter().map(|member| &member.name).filter(|name| sync.names(name)).collect();
    let answered = move |name: &&MemberName| seen.peers.iter().any(|peer| peer.name == **name && peer.answer.is_some());
    named.into_iter().filter(answered)
}

/// Further in the same history, or in one that was opened by a later epoch.
fn more(facts: &Facts<'_>, theirs: Position, own: Position) -> bool {
    let opened = |position: Position| {
        let claims = facts.seen.store.timelines.iter().filter(|claim| claim.timeline == position.timeline);
        claims.map(|claim| claim.epoch).max().unwrap_or_default()
    };
    (opened(theirs), theirs.lsn) > (opened(own), own.lsn)
}
