//! The race of the standbys for a vacant lease.
//!
//! Synchronous mode: only who is named in the `/sync` of the last leader has everything that was acknowledged; he goes at once, and if
//! none of them is alive nobody is promoted. Where several have to agree they go in the order of their positions, and
//! `promote` counts their promises. Asynchronous mode: the furthest ahead, among equals the higher priority, then the first
//! name. Whoever has no room on his disk comes after all who have. The best goes at once; the others come after a head start each, that
//! is: only when the better one did not. Losing a race costs nothing, the acquiring transaction decides it.

use super::{
    ask, enough, history, members, promise,
    promote::outside,
    replaced,
    turn::Turn,
    vacant::{Vacancy, acquire, other_primary, out_of_race},
};
use crate::{Epoch, Lease, Lsn, Member, MemberName, MemberState, Moment, Peer, PeerAnswer, Position, Reason, Storage};
use std::{cmp::Reverse, time::Duration};

/// Between two candidates of one position: more than `ask::PATIENCE`, so that the best is off before the second starts.
const HEAD_START: Duration = Duration::from_millis(500);

/// The order of the race; field order is the order of comparison, the largest goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    room: bool,
    position: Option<Position>,
    priority: i32,
    name: Reverse<&'a MemberName>,
}

/// Whether, and when, this standby takes the lease.
pub(super) fn race(turn: &mut Turn<'_>, vacancy: Vacancy, position: Option<Position>) -> Reason {
    if let Some(reason) = out_of_race(turn) {
        return reason;
    }
    let restricted = turn.seen.store.electors().is_some();
    if restricted && let Some(leader) = turn.seen.store.sync.as_ref().and_then(|sync| outside(sync, turn)) {
        return Reason::NotInSync { leader };
    }
    if let Some(member) = other_primary(turn).filter(|_| turn.seen.store.initialize.is_none()) {
        return Reason::MemberHasData { member };
    }
    if let Some(reason) = head_start_of_heir(turn, vacancy).or_else(|| head_start_of_asked(turn, vacancy)) {
        return reason;
    }
    let handed = handoff(turn, vacancy).is_some_and(|to| *to == turn.seen.me);
    if restricted && replaced::forgotten(turn) {
        return Reason::DirectoryReplaced;
    }
    if restricted && turn.seen.store.sync.as_ref().is_some_and(|sync| enough::alone(sync, turn)) {
        return by_right(turn, vacancy, handed);
    }
    by_position(turn, vacancy, position, Rules { handed, restricted })
}

/// How positions are compared.
#[derive(Clone, Copy)]
struct Rules {
    /// The last leader gave up in this node's favour.
    handed: bool,
    /// Only those whom `/sync` names count, and promises decide, not how far behind somebody is.
    restricted: bool,
}

/// Somebody else was handed the lease and has not taken it yet.
pub(super) fn head_start_of_heir(turn: &mut Turn<'_>, vacancy: Vacancy) -> Option<Reason> {
    let to = handoff(turn, vacancy).filter(|to| **to != turn.seen.me)?.clone();
    let until = vacancy.since + turn.policy.ttl / 2;
    (!turn.reached(until)).then_some(Reason::WaitHandoff { to, until })
}

/// An operator has asked for somebody, before or since the lease became vacant, and he has not taken it yet.
fn head_start_of_asked(turn: &mut Turn<'_>, vacancy: Vacancy) -> Option<Reason> {
    let best = asked_for(turn).filter(|asked| **asked != turn.seen.me)?.clone();
    let may = turn.seen.store.electors().is_none_or(|sync| sync.names(&best));
    let barred = |peer: &Peer| peer.name == best && peer.answer.as_ref().is_some_and(|answer| stays_out(answer, vacancy));
    let may = may && !turn.seen.peers.iter().any(barred);
    members::find(turn, &best).filter(|member| may && members::is_fit(member))?;
    let until = vacancy.since + turn.policy.ttl / 2;
    (!turn.reached(until)).then_some(Reason::WaitHeadStart { best, until })
}

/// Whom `/failover` asks for.
fn asked_for<'a>(turn: &Turn<'a>) -> Option<&'a MemberName> {
    turn.seen.store.switchover.as_ref()?.candidate.as_ref()
}

/// To whom the leader of the last epoch handed over.
fn handoff<'a>(turn: &Turn<'a>, vacancy: Vacancy) -> Option<&'a MemberName> {
    let handoff = turn.seen.store.handoff.as_ref()?;
    (handoff.epoch == vacancy.last_epoch && vacancy.last_epoch != Epoch::NONE).then_some(&handoff.to)
}

/// Synchronous mode: named in `/sync`, so everything acknowledged is here.
fn by_right(turn: &mut Turn<'_>, vacancy: Vacancy, handed: bool) -> Reason {
    if let Some(reason) = abort(turn, vacancy.since) {
        return reason;
    }
    if let Some(reason) = roomier(turn, vacancy).or_else(|| preferred(turn, vacancy)).filter(|_| !handed) {
        return reason;
    }
    acquire(turn, vacancy, won(turn, vacancy, handed))
}

/// There is no room here: another one that may lead as well and has room goes first.
fn roomier(turn: &mut Turn<'_>, vacancy: Vacancy) -> Option<Reason> {
    if turn.seen.storage.state == Storage::Good {
        return None;
    }
    let sync = turn.seen.store.sync.as_ref()?;
    let best = members::others(turn).find(|member| sync.names(&member.name) && members::is_fit(member))?.name.clone();
    let until = vacancy.since + HEAD_START;
    (!turn.reached(until)).then_some(Reason::WaitHeadStart { best, until })
}

/// Another one that may lead as well is preferred by the operator.
fn preferred(turn: &mut Turn<'_>, vacancy: Vacancy) -> Option<Reason> {
    let sync = turn.seen.store.sync.as_ref()?;
    let mine = turn.policy.tags.priority();
    let priority = |member: &Member| member.tags.priority();
    let may = |member: &&Member| sync.names(&member.name) && members::is_fit(member) && priority(member) > mine;
    let better: Vec<&Member> = members::others(turn).filter(may).collect();
    let best = better.iter().max_by_key(|member| (priority(member), Reverse(&member.name)))?.name.clone();
    let until = vacancy.since + HEAD_START * u32::try_from(better.len()).unwrap_or(u32::MAX);
    (!turn.reached(until)).then_some(Reason::WaitHeadStart { best, until })
}

/// Asynchronous mode: by what the others answer. So also where several have to agree: whoever has most goes first, and then need not
/// hand over.
fn by_position(turn: &mut Turn<'_>, vacancy: Vacancy, position: Option<Position>, rules: Rules) -> Reason {
    let Some(position) = position else { return Reason::PositionUnknown };
    if vacancy.released && looks_again(turn, vacancy) {
        return Reason::ProbePending;
    }
    if let Some(reason) = behind(turn, position).filter(|_| !rules.restricted) {
        return reason;
    }
    if rules.handed {
        return acquire(turn, vacancy, won(turn, vacancy, true));
    }
    let since = answers_from(turn, vacancy);
    if let Some(until) = ask::ask_but(turn, since, gone(turn)) {
        return Reason::AskingPeers { until };
    }
    if let Some(reason) = abort(turn, vacancy.since) {
        return reason;
    }
    if let Some(reason) = unsure(turn, vacancy, since).filter(|_| !rules.restricted) {
        return reason;
    }
    let (ahead, count, best) = better(turn, vacancy, since, position, rules.restricted);
    // Someone further ahead is waited for as long as a lease takes to be won twice over; otherwise a short head start each is enough.
    let wait = match ahead {
        _ if !rules.restricted && asked_for(turn) == Some(&turn.seen.me) => Duration::ZERO,
        // Each of those ahead waits for the others of them as long.
        true => turn.policy.ttl + HEAD_START * count.saturating_sub(1),
        false => HEAD_START * count,
    };
    let until = vacancy.since + wait;
    match best.filter(|_| !turn.reached(until)) {
        Some(best) => Reason::WaitHeadStart { best, until },
        None => acquire(turn, vacancy, won(turn, vacancy, false)),
    }
}

/// What the leader wrote last may have come since the last look here: there is one that was begun afterwards, or none for a second.
fn looks_again(turn: &mut Turn<'_>, vacancy: Vacancy) -> bool {
    let late = turn.seen.probed < vacancy.since && !turn.reached(vacancy.since + Duration::from_secs(1));
    if late {
        promise::look_again(turn);
    }
    late
}

/// Whoever released the lease stays out, and may be gone: his answer is not waited for.
fn gone<'a>(turn: &Turn<'a>) -> Option<&'a MemberName> {
    match &turn.seen.lease {
        Lease::Vacant { last_holder, released: true, .. } => last_holder.as_ref(),
        _ => None,
    }
}

fn won(turn: &Turn<'_>, vacancy: Vacancy, handed: bool) -> Reason {
    match handed {
        true => Reason::HandedToMe { epoch: vacancy.last_epoch },
        false => Reason::LeaderVacant { best: turn.seen.me.clone() },
    }
}

/// Too far behind the last leader, or not of its history.
pub(super) fn behind(turn: &Turn<'_>, position: Position) -> Option<Reason> {
    let store = &turn.seen.store;
    if history::strayed(position, store) {
        return Some(Reason::NotOfThisHistory { own: position.lsn });
    }
    let lag = store.optime.map_or(0, |Lsn(optime)| optime.saturating_sub(position.lsn.0));
    let limit = turn.policy.maximum_lag_on_failover;
    (lag > limit).then_some(Reason::TooFarBehind { lag, limit })
}

/// From when on answers count: asked while the lease of a silent leader was running out, since nobody wrote any more. A leader that
/// released wrote until then, and one whose agent stands still until its guard ends it, shortly before the lease's end: whoever does not
/// go at once asks again. The lease is vacant when a read has confirmed its end; `ask_ahead` was earlier by that much, at most a twentieth
/// of ttl.
fn answers_from(turn: &mut Turn<'_>, vacancy: Vacancy) -> Moment {
    let ttl = turn.policy.ttl;
    if turn.reached(vacancy.since + ask::PATIENCE) {
        return vacancy.since;
    }
    let early = vacancy.since.minus(ttl / 4 + ttl / 20);
    let still_primary = ask::fresh(turn, early).any(|(peer, answer)| peer.asked < vacancy.since && ask::is_primary(answer));
    if vacancy.released || still_primary { vacancy.since } else { early }
}

/// A peer that still calls itself a running primary: no race, whatever the store says. Asked again in a second.
fn abort(turn: &mut Turn<'_>, since: Moment) -> Option<Reason> {
    let (peer, _) = ask::fresh(turn, since).find(|(_, answer)| ask::is_primary(answer))?;
    let again = peer.asked + Duration::from_secs(1);
    if turn.reached(again) {
        ask::ask(turn, again);
    }
    Some(Reason::PeerStillPrimary { peer: peer.name.clone() })
}

/// A peer that runs and cannot say yet where its own WAL ends may have the most of all. It is asked again until it can, for ttl/2 at the
/// most: it may be one that never gets there. Where promises decide they see to this.
fn unsure(turn: &mut Turn<'_>, vacancy: Vacancy, since: Moment) -> Option<Reason> {
    let (peer, _) = ask::fresh(turn, since).find(|(_, answer)| answer.position.is_none() && fit(answer, vacancy))?;
    let until = vacancy.since + turn.policy.ttl / 2;
    if turn.reached(until) {
        return None;
    }
    let again = peer.asked + ask::PATIENCE;
    if turn.reached(again) {
        ask::ask(turn, again);
    }
    Some(Reason::WaitHeadStart { best: peer.name.clone(), until })
}

/// The last leader named others to wait for it. What was released names nobody: an answer that says so was given just before.
fn stays_out(answer: &PeerAnswer, vacancy: Vacancy) -> bool {
    answer.barred && !vacancy.released
}

/// One that would take part in the race.
fn fit(answer: &PeerAnswer, vacancy: Vacancy) -> bool {
    answer.storage != Storage::Broken
        && !stays_out(answer, vacancy)
        && answer.tags.may_lead()
        && matches!(answer.state, MemberState::Running | MemberState::Streaming)
        && !ask::is_primary(answer)
}

/// Whether a peer is strictly ahead, or has room where this node has none, how many are better placed, and the best of them.
fn better(
    turn: &Turn<'_>,
    vacancy: Vacancy,
    since: Moment,
    position: Position,
    restricted: bool,
) -> (bool, u32, Option<MemberName>) {
    let me = Rank {
        room: turn.seen.storage.state == Storage::Good,
        position: Some(position),
        priority: turn.policy.tags.priority(),
        name: Reverse(&turn.seen.me),
    };
    // Who is out of the race by his own judgement (`behind`) is not waited for.
    let races = |peer: &Peer, answer: &PeerAnswer| match restricted {
        true => turn.seen.store.sync.as_ref().is_some_and(|sync| sync.names(&peer.name)),
        false => answer.position.is_none_or(|position| !history::strayed(position, &turn.seen.store)),
    };
    let ranks =
        ask::fresh(turn, since).filter(|(peer, answer)| fit(answer, vacancy) && races(peer, answer)).map(|(peer, answer)| Rank {
            room: answer.storage == Storage::Good,
            position: answer.position,
            priority: answer.tags.priority(),
            name: Reverse(&peer.name),
        });
    let mut better: Vec<Rank<'_>> = ranks.filter(|rank| *rank > me).collect();
    better.sort_unstable();
    let ahead = better.iter().any(|rank| (rank.room, rank.position) > (me.room, me.position));
    (ahead, u32::try_from(better.len()).unwrap_or(u32::MAX), better.last().map(|rank| rank.name.0.clone()))
}
