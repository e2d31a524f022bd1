//! The lease is held and PostgreSQL is a standby: claim a timeline, arm the guard, promote (SAFETY §4.1, §4.3, §2 "arm before
//! promote").
//!
//! Each step waits for the one before to be *seen*: the claim in the store, the permission on the guard's page. A node that is frozen
//! between two of them finds, when it runs again, a permission that has run out, and a guard that does not promote.

use super::{
    enough::{self, Votes},
    leading::{release, released},
    members, permission, promise, race,
    turn::Turn,
};
use crate::{Action, Epoch, Held, Job, MemberName, Position, PromoteStep, Reason, SyncState, Timeline, TimelineClaim};

/// The next step of the promotion.
///
/// Where a standby is not enough by itself: cut, wait for the promises of others, hand over to whoever has more.
pub(super) fn promote(turn: &mut Turn<'_>, held: &Held, position: Option<Position>) -> Reason {
    if let Some(reason) = may_not(turn, held, position) {
        turn.stay_out();
        return release(turn, None, reason);
    }
    if let Some(reason) =
        released(turn, held).or_else(|| elected(turn, held, position)).or_else(|| unplaced(turn, held, position))
    {
        return reason;
    }
    let epoch = held.epoch;
    let Some(claim) = turn.seen.store.timelines.iter().find(|claim| claim.epoch == epoch) else {
        let timeline = next_timeline(turn, position);
        let reason = Reason::Promoting { step: PromoteStep::Claim { timeline } };
        let parent = position.map(|position| position.timeline);
        return turn.step(Action::ClaimTimeline { timeline, epoch, parent }, reason);
    };
    if opened(turn, claim, position) {
        return release(turn, None, Reason::GivingUp { epoch });
    }
    if !turn.armed_for(held) {
        return permission::wait(turn, held, members::successor, Reason::Promoting { step: PromoteStep::Arm });
    }
    let timeline = claim.timeline;
    turn.run(Job::Promote { epoch, timeline }, Reason::Promoting { step: PromoteStep::Open { timeline } })
}

/// The timeline of this claim was opened before, or may have been: the promotion under this epoch was fenced (the leader key was somebody
/// else's for a moment), the server is a standby again, and the lease has come back. Opened once more the number would mean two histories,
/// and nobody could tell them apart. Another lease claims another number.
///
/// A promotion that has ended and is not seen yet is not meant: then nothing was started since.
fn opened(turn: &Turn<'_>, claim: &TimelineClaim, position: Option<Position>) -> bool {
    let begun = turn.memory.opening == Some(claim.epoch);
    let newest = turn.seen.last_job.as_ref().is_some_and(|last| matches!(last.job, Job::Promote { .. }));
    begun && !newest || position.is_some_and(|position| position.timeline >= claim.timeline)
}

/// Why the holder must not promote after all.
fn may_not(turn: &Turn<'_>, held: &Held, position: Option<Position>) -> Option<Reason> {
    if let Some(known) = shown_epoch(turn).filter(|known| *known >= held.epoch) {
        return Some(Reason::EpochNotNewer { mine: held.epoch, known });
    }
    // A store that was restored or replaced counts from low again, and comes past every number it has handed out before.
    let promised = turn.seen.store.promises.iter().map(|promise| promise.epoch).filter(|known| *known > held.epoch);
    let own = turn.seen.promised.iter().filter(|own| own.forbids(&turn.seen.me, held.epoch)).map(|own| own.epoch);
    let guard = turn.refused_by_guard(held);
    if let Some(known) = promised.chain(own).chain(guard).max() {
        return Some(Reason::EpochNotNewer { mine: held.epoch, known });
    }
    match enough::electors(turn, held) {
        // What it acknowledged may be elsewhere, and whoever has it may lead.
        Some(_) if turn.seen.directory_replaced => Some(Reason::DirectoryReplaced),
        Some(sync) => outside(sync, turn).map(|leader| Reason::NotInSync { leader }),
        // The last that the leader has told may have come after the race.
        None => position.and_then(|position| race::behind(turn, position)),
    }
}

/// The end of the own WAL is not known: what it received is being replayed since the server was started, perhaps with other data. Until
/// that is over nobody knows which timelines it would have to pass over, nor, in asynchronous mode, how much is missing. Whoever else could
/// lead does after a ttl.
fn unplaced(turn: &mut Turn<'_>, held: &Held, position: Option<Position>) -> Option<Reason> {
    if position.is_some() {
        turn.memory.unplaced = None;
        return None;
    }
    let since = turn.memory.unplaced.filter(|(epoch, _)| *epoch == held.epoch).map_or(turn.now, |(_, since)| since);
    turn.memory.unplaced = Some((held.epoch, since));
    let until = since + turn.policy.ttl;
    if turn.reached(until) && members::asking(turn, until).is_none() && members::successor(turn).is_some() {
        turn.stay_out();
        return Some(release(turn, None, Reason::PositionUnknown));
    }
    Some(Reason::PositionUnknown)
}

/// What is still missing before this node may promote; nothing when it may.
fn elected(turn: &mut Turn<'_>, held: &Held, position: Option<Position>) -> Option<Reason> {
    let sync = enough::electors(turn, held)?;
    if !enough::alone(sync, turn)
        && let Some(reason) = promise::own(turn, held.epoch)
    {
        return Some(reason);
    }
    match enough::count(turn, held, position) {
        Votes::Enough => None,
        Votes::Outside { leader } => Some(Reason::NotInSync { leader }),
        Votes::Missing { have, need } => {
            if !promise::read_after_cut(turn, held.epoch) {
                promise::look_again(turn);
            }
            Some(Reason::WaitPromises { epoch: held.epoch, have, need })
        }
        Votes::Better { member } => Some(hand_over(turn, member)),
    }
}

/// The others give him ttl/2; this node stays out as long, and longer each time he did not come.
fn hand_over(turn: &mut Turn<'_>, to: MemberName) -> Reason {
    let times = 1 << turn.memory.handed_over.min(4);
    turn.memory.handed_over = turn.memory.handed_over.saturating_add(1);
    turn.memory.no_lead_until = Some(turn.now + turn.policy.ttl / 2 * times);
    release(turn, Some(to.clone()), Reason::HandingOver { to })
}

/// The leader `/sync` names, if it names one and not this node.
pub(super) fn outside(sync: &SyncState, turn: &Turn<'_>) -> Option<MemberName> {
    sync.leader.clone().filter(|_| !sync.names(&turn.seen.me))
}

/// The highest epoch the cluster has shown as primary. A store restored from a backup hands out lower ones.
pub(super) fn shown_epoch(turn: &Turn<'_>) -> Option<Epoch> {
    turn.seen.store.primary.as_ref().map(|face| face.epoch)
}

/// A number further than this above what is here is nobody's timeline but a value written by mistake. A number for each in between is
/// made unusable before the promotion, each by a file.
const FARTHEST: u32 = 10_000;

/// One more than every timeline anybody knows.
fn next_timeline(turn: &Turn<'_>, position: Option<Position>) -> Timeline {
    let store = &turn.seen.store;
    let here = position.map_or(Timeline(1), |position| position.timeline);
    let known = store.timelines.iter().map(|claim| claim.timeline);
    let known = known.chain(store.members.iter().filter_map(|member| member.timeline));
    let known = known.chain(store.primary.as_ref().map(|face| face.timeline)).chain(position.map(|position| position.timeline));
    let plausible = known.filter(|known| known.0 <= here.0.saturating_add(FARTHEST));
    Timeline(plausible.max().unwrap_or(here).0.saturating_add(1))
}
