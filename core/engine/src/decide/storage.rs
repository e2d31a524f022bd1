//! The storage of the data directory does not work, or is full.
//!
//! *Broken* (writes do not return, or fail): this node takes no lease and begins nothing that writes. As primary it makes way, by a
//! fence, as soon as somebody else can lead; a fence is complete when its processes can never run again, which those that the kernel
//! holds in a write cannot. Where nobody else can lead nothing is gained by it, and it stays.
//!
//! *Full*: a primary hands over to a member that has room, in order, as in a switchover. Among candidates of a race those with room go
//! first. Where no member has room nothing changes hands.

use super::{leading, members, turn::Turn};
use crate::{Action, FenceCause, Held, Job, MemberName, Reason, Running, ServerRole, StopMode, Storage};

/// Nothing can be written here.
pub(super) fn is_broken(turn: &Turn<'_>) -> bool {
    turn.seen.storage.state == Storage::Broken
}

/// Why this node keeps out of every race, and copies nothing.
pub(super) fn out_of_race(turn: &Turn<'_>) -> Option<Reason> {
    is_broken(turn).then(|| Reason::StorageBroken { why: turn.seen.storage.why.clone() })
}

/// The holder of the lease makes way: at once where nothing here can write, else when there is somebody for whom.
pub(super) fn make_way(turn: &mut Turn<'_>) -> Option<Reason> {
    let held = turn.held().filter(|_| is_broken(turn))?;
    if turn.may_write() {
        members::candidate(turn)?;
    }
    turn.give_up(held);
    if !turn.is_quiet() {
        return Some(fence(turn));
    }
    leading::lost(turn)
}

/// Fences PostgreSQL because of its storage.
pub(super) fn fence(turn: &mut Turn<'_>) -> Reason {
    let cause = FenceCause::StorageBroken { why: turn.seen.storage.why.clone() };
    turn.step(Action::Fence, Reason::Fencing { cause })
}

/// A primary without room stops, if somebody with room can lead at once; `crashed` then hands the lease over.
pub(super) fn hand_over(turn: &mut Turn<'_>, running: &Running) -> Option<Reason> {
    if turn.seen.storage.state != Storage::Full || !matches!(running.role, ServerRole::Primary { .. }) {
        return None;
    }
    let streams = |to: &MemberName| turn.by_sync() || members::streaming(&running.role, to).is_some();
    let to = members::candidate_among(turn, streams)?;
    let why = turn.seen.storage.why.clone();
    Some(turn.run(Job::Stop(StopMode::Fast), Reason::MakingWay { to, why }))
}

/// Who has room, where there is none for a stopped primary to be started again.
pub(super) fn fails_over(turn: &Turn<'_>) -> Option<MemberName> {
    members::candidate(turn).filter(|_| turn.seen.storage.state != Storage::Good)
}

/// The reason of a leader in trouble says so.
pub(super) fn in_trouble(turn: &Turn<'_>, held: &Held) -> Option<Reason> {
    let storage = &turn.seen.storage;
    (storage.state != Storage::Good).then(|| Reason::LeadingInTrouble { epoch: held.epoch, why: storage.why.clone() })
}
