//! Who else could lead: members as the store shows them, judged from the leader's side.

use super::{ask, history, quorum, turn::Turn};
use crate::{Epoch, Member, MemberName, MemberState, Moment, Position, Role, ServerRole, StandbySeen, Storage};

/// The member of that name.
pub(super) fn find<'a>(turn: &Turn<'a>, name: &MemberName) -> Option<&'a Member> {
    turn.seen.store.members.iter().find(|member| member.name == *name)
}

/// The other members.
pub(super) fn others<'a>(turn: &Turn<'a>) -> impl Iterator<Item = &'a Member> + use<'a> {
    let seen = turn.seen;
    seen.store.members.iter().filter(move |member| member.name != seen.me)
}

/// Its agent says that it runs as a standby and can write, and its tags let it lead. Whoever still calls itself a primary has stood still
/// and is of an older history.
fn could_lead(member: &Member) -> bool {
    member.storage != Storage::Broken
        && member.role != Role::Primary
        && member.tags.may_lead()
        && matches!(member.state, MemberState::Running | MemberState::Streaming)
}

/// It could lead, and has room.
pub(super) fn is_fit(member: &Member) -> bool {
    could_lead(member) && member.storage == Storage::Good
}

/// It says where its own WAL ends, and that this is a place of the present history: it would not race otherwise.
fn of_this_history(turn: &Turn<'_>, member: &Member) -> bool {
    let place = member.timeline.zip(member.lsn);
    place.is_some_and(|(timeline, lsn)| !history::strayed(Position { opened_by: Epoch::NONE, timeline, lsn }, &turn.seen.store))
}

/// Not further behind what the leader last told than the race allows: it would not take the lease otherwise. A member key tells a position
/// once in loop_wait; what it has answered since may be more.
fn is_near(turn: &Turn<'_>, member: &Member) -> bool {
    let answers = ask::fresh(turn, turn.now.minus(turn.policy.ttl)).filter(|(peer, _)| peer.name == member.name);
    let there = answers.filter_map(|(_, answer)| answer.position.map(|position| position.lsn)).chain(member.lsn).max();
    let lag = turn.seen.store.optime.unwrap_or_default().0.saturating_sub(there.unwrap_or_default().0);
    lag <= turn.policy.maximum_lag_on_failover
}

/// Nothing is lost with it that the mode forbids to lose.
fn loses_nothing(turn: &Turn<'_>, member: &Member, named: bool) -> bool {
    if turn.by_sync() { named } else { of_this_history(turn, member) && is_near(turn, member) }
}

/// Asynchronous mode: asks the others for their positions, once since then; until when their answers are waited for.
pub(super) fn asking(turn: &mut Turn<'_>, since: Moment) -> Option<Moment> {
    if turn.by_sync() { None } else { ask::ask(turn, since) }
}

/// Who could take over at once without a loss the mode forbids, and has room: the confirmed synchronous standby, or in asynchronous mode
/// the member of this history that is furthest ahead.
pub(super) fn candidate(turn: &Turn<'_>) -> Option<MemberName> {
    candidate_among(turn, |_| true)
}

/// The same among those.
pub(super) fn candidate_among(turn: &Turn<'_>, those: impl Fn(&MemberName) -> bool) -> Option<MemberName> {
    // Where several have to agree on a new leader, so many must be there.
    let electing = turn.seen.store.electors().map_or(0, quorum::electing);
    let there = others(turn).filter(|member| could_lead(member) && is_sync_standby(turn, &member.name)).count();
    // A store that knows no cluster knows nothing of them: nobody with data takes over from somebody with data.
    if there < electing || turn.seen.store.initialize.is_none() {
        return None;
    }
    let may = |member: &&Member| loses_nothing(turn, member, is_sync_standby(turn, &member.name));
    let best = others(turn).filter(|member| is_fit(member) && those(&member.name)).filter(may).max_by_key(|member| {
        let (lsn, priority) = (member.lsn, member.tags.priority());
        // Where each of them is enough by itself nothing lies between them but what the operator prefers.
        let preferred = if electing == 1 { priority } else { 0 };
        (preferred, lsn, priority, std::cmp::Reverse(&member.name))
    })?;
    Some(best.name.clone())
}

/// Who could lead instead of this node, which holds the lease and was not a primary under it yet: `/sync` is still the last leader's.
pub(super) fn successor(turn: &Turn<'_>) -> Option<MemberName> {
    let sync = turn.seen.store.electors();
    let named = |member: &&Member| loses_nothing(turn, member, sync.is_some_and(|sync| sync.names(&member.name)));
    others(turn).filter(|member| is_fit(member)).find(named).map(|member| member.name.clone())
}

/// When it was first missed, by a list of those that are.
pub(super) fn first_missed(missed: &[(MemberName, Moment)], name: &MemberName) -> Option<Moment> {
    missed.iter().find(|(known, _)| known == name).map(|(_, since)| *since)
}

/// Nobody but this node may lead, whoever comes back.
pub(super) fn only_this_one(turn: &Turn<'_>) -> bool {
    match turn.seen.store.electors() {
        Some(sync) => sync.leader.iter().chain(&sync.standbys).all(|name| *name == turn.seen.me),
        None => others(turn).all(|member| !member.tags.may_lead()),
    }
}

/// `/sync` was written by this node and names `name` as standby.
pub(super) fn is_sync_standby(turn: &Turn<'_>, name: &MemberName) -> bool {
    let Some(sync) = &turn.seen.store.sync else { return false };
    sync.leader.as_ref() == Some(&turn.seen.me) && sync.standbys.contains(name)
}

/// A standby in the local pg_stat_replication that streams. Where several have its name, the one that has least.
pub(super) fn streaming<'a>(role: &'a ServerRole, name: &MemberName) -> Option<&'a StandbySeen> {
    match role {
        ServerRole::Primary { standbys, .. } => {
            standbys.iter().filter(|standby| standby.name == *name && standby.streaming).min_by_key(|standby| standby.flushed)
        }
        ServerRole::Standby { .. } => None,
    }
}
