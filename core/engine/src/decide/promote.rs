//! The lease is held and PostgreSQL is a standby: claim a timeline, arm the guard, promote (SAFETY §4.1, §4.3, §2 "arm before
//! promote").
//!
//! Each step waits for the one before to be *seen*: the claim in the store, the permission on the guard's page. A node that is frozen
//! between two of them finds, when it runs again, a permission that has run out, and a guard that does not promote.

use super::{
    leading::{release, released},
    turn::Turn,
};
use crate::{Action, Epoch, Held, Job, Position, PromoteStep, Reason, SyncState, Timeline};

/// The next step of the promotion.
pub(super) fn promote(turn: &mut Turn<'_>, held: &Held, position: Option<Position>) -> Reason {
    if let Some(reason) = may_not(turn, held) {
        turn.stay_out();
        return release(turn, None, reason);
    }
    if let Some(reason) = released(turn, held) {
        return reason;
    }
    let epoch = held.epoch;
    let Some(claim) = turn.seen.store.timelines.iter().find(|claim| claim.epoch == epoch) else {
        let timeline = next_timeline(turn, position);
        let reason = Reason::Promoting { step: PromoteStep::Claim { timeline } };
        let parent = position.map(|position| position.timeline);
        return turn.step(Action::ClaimTimeline { timeline, epoch, parent }, reason);
    };
    if !turn.armed_for(held) {
        return turn.step(Action::Arm { epoch, until: held.until }, Reason::Promoting { step: PromoteStep::Arm });
    }
    let timeline = claim.timeline;
    turn.run(Job::Promote { epoch, timeline }, Reason::Promoting { step: PromoteStep::Open { timeline } })
}

/// Why the holder must not promote after all.
fn may_not(turn: &Turn<'_>, held: &Held) -> Option<Reason> {
    if let Some(known) = shown_epoch(turn).filter(|known| *known >= held.epoch) {
        return Some(Reason::EpochNotNewer { mine: held.epoch, known });
    }
    if !turn.policy.synchronous.is_on() {
        return None;
    }
    // What the acquiring transaction read counts; the view may be older, or newer by nobody's right.
    let sync = held.sync_at_acquisition.as_ref().or(turn.seen.store.sync.as_ref())?;
    outside(sync, turn).map(|leader| Reason::NotInSync { leader })
}

/// The leader `/sync` names, if it names one and not this node.
pub(super) fn outside(sync: &SyncState, turn: &Turn<'_>) -> Option<crate::MemberName> {
    sync.leader.clone().filter(|_| !sync.names(&turn.seen.me))
}

/// The highest epoch the cluster has shown as primary. A store restored from a backup hands out lower ones.
pub(super) fn shown_epoch(turn: &Turn<'_>) -> Option<Epoch> {
    turn.seen.store.primary.as_ref().map(|face| face.epoch)
}

/// One more than every timeline anybody knows.
fn next_timeline(turn: &Turn<'_>, position: Option<Position>) -> Timeline {
    let store = &turn.seen.store;
    let known = store.timelines.iter().map(|claim| claim.timeline);
    let known = known.chain(store.members.iter().filter_map(|member| member.timeline));
    let known = known.chain(store.primary.as_ref().map(|face| face.timeline)).chain(position.map(|position| position.timeline));
    Timeline(known.max().unwrap_or(Timeline(1)).0.saturating_add(1))
}
