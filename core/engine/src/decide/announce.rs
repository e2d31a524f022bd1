//! What this node tells: its member key in the store, and callbacks to plugins and scripts.
//!
//! A callback follows the facts, not the intention: `primary` after the face of this very epoch was seen in the store, `demoted` when
//! nothing here can write any more, `replica` when the new leader is followed.

use super::{members, storage, turn::Turn};
use crate::{
    Action, Callback, Emission, Epoch, Job, JobOutcome, Lease, MemberFace, MemberState, Postgres, Role, ServerRole, Storage,
};
use std::time::Duration;

/// A member key that was written and is not in the store is written again after this.
const REWRITE: Duration = Duration::from_secs(2);

/// Adds what has to be told.
pub(super) fn announce(turn: &mut Turn<'_>) {
    if turn.seen.store.as_of.is_none() {
        return;
    }
    callback(turn);
    if !matches!(turn.seen.lease, Lease::Unknown) {
        member(turn);
    }
}

/// At most one callback per decision; the next role change is seen by the next decision.
fn callback(turn: &mut Turn<'_>) {
    if turn.asked(|action| matches!(action, Action::Exit)) {
        return on_stop(turn);
    }
    let previous = turn.memory.announced.unwrap_or_default();
    let Some((role, epoch)) = role(turn) else { return };
    if turn.memory.announced == Some(role) {
        return restarted(turn, role, epoch);
    }
    turn.memory.restart_begun = None;
    turn.memory.announced = Some(role);
    turn.memory.announced_epoch = epoch;
    let callback = match previous {
        // A node without data has nothing to tell.
        _ if role == Role::Uninitialized => return,
        Role::Uninitialized => Callback::OnStart,
        Role::Primary | Role::Replica | Role::Demoted => Callback::OnRoleChange,
    };
    turn.act(Action::Emit(Emission { callback, role, previous, epoch }));
}

/// PostgreSQL runs again in the same role after a restart that an operator asked for.
fn restarted(turn: &mut Turn<'_>, role: Role, epoch: Epoch) {
    let proved = match &turn.seen.postgres {
        Postgres::Running(running) => match &running.role {
            ServerRole::Primary { proof, .. } => proof.is_some(),
            ServerRole::Standby { .. } => true,
        },
        _ => false,
    };
    if !(turn.memory.restart_down && proved) {
        return;
    }
    (turn.memory.restart_begun, turn.memory.restart_down) = (None, false);
    turn.memory.announced_epoch = epoch;
    turn.act(Action::Emit(Emission { callback: Callback::OnRestart, role, previous: role, epoch }));
}

/// The last callback of the service: PostgreSQL was stopped in order.
fn on_stop(turn: &mut Turn<'_>) {
    let Some(role) = turn.memory.announced.filter(|role| *role != Role::Uninitialized) else { return };
    if turn.memory.stop_announced {
        return;
    }
    turn.memory.stop_announced = true;
    let epoch = turn.memory.announced_epoch;
    let emission = Emission { callback: Callback::OnStop, role, previous: role, epoch };
    turn.act(Action::Emit(emission));
}

/// The role this node has by now shown to have, and the epoch it has it under; nothing while it is between two roles.
fn role(turn: &Turn<'_>) -> Option<(Role, Epoch)> {
    let was_primary = turn.memory.announced == Some(Role::Primary);
    let server = match &turn.seen.postgres {
        Postgres::Running(running) => Some(&running.role),
        // What is fenced may stay unknown for as long as its storage hangs.
        Postgres::Unknown if turn.fenced() && storage::is_broken(turn) => None,
        Postgres::Unknown => return None,
        _ => None,
    };
    match (&turn.seen.lease, server) {
        (Lease::Mine(held), Some(ServerRole::Primary { position, .. })) if turn.now < held.until => {
            let shown = turn.seen.store.primary.as_ref()?;
            let visible = shown.epoch == held.epoch && shown.name == turn.seen.me && shown.timeline == position.timeline;
            visible.then_some((Role::Primary, held.epoch))
        }
        (Lease::Mine(_), _) if was_primary => None,
        (Lease::Unknown | Lease::Vacant { .. } | Lease::Theirs(_), _) if was_primary => {
            turn.is_quiet().then_some((Role::Demoted, turn.memory.announced_epoch))
        }
        (lease, Some(ServerRole::Standby { upstream, .. })) => {
            let leader = match lease {
                Lease::Theirs(theirs) => Some(theirs),
                Lease::Unknown | Lease::Vacant { .. } | Lease::Mine(_) => None,
            };
            let follows = leader.is_some_and(|theirs| {
                upstream.as_ref().is_some_and(|upstream| upstream.name == theirs.holder && upstream.epoch == theirs.epoch)
            });
            let first = turn.memory.announced.is_none_or(|role| role == Role::Uninitialized);
            (follows || first).then(|| (Role::Replica, leader.map_or(Epoch::NONE, |theirs| theirs.epoch)))
        }
        (_, None) if turn.memory.announced.is_none() && matches!(turn.seen.postgres, Postgres::NoData) => {
            Some((Role::Uninitialized, Epoch::NONE))
        }
        _ => None,
    }
}

/// The member key: at once when something but the position changed, for the position alone once per loop_wait.
fn member(turn: &mut Turn<'_>) {
    let Some(face) = face(turn) else { return };
    let (now, written) = (turn.now, turn.memory.member_at);
    let without_lsn = |face: &MemberFace| MemberFace { lsn: None, ..*face };
    let known = turn.memory.member.as_ref();
    let changed = known.map(without_lsn) != Some(without_lsn(&face));
    let moved = known.is_none_or(|known| known.lsn != face.lsn) && written.is_none_or(|at| now >= at + turn.policy.loop_wait);
    // What others wait for: a lost write of it would be their last news of a cluster that nobody writes to.
    let shown = members::find(turn, &turn.seen.me).is_some_and(|member| {
        let same = (member.state, member.role, member.storage) == (face.state, face.role, face.storage)
            && (member.follows, member.timeline) == (face.follows, face.timeline);
        same && (member.checkpointed == face.checkpointed || face.role != Role::Primary)
    });
    let lost = !shown && written.is_none_or(|at| turn.reached(at + REWRITE));
    if changed || moved || lost {
        turn.memory.member = Some(face.clone());
        turn.memory.member_at = Some(now);
        turn.act(Action::PublishMember(face));
    }
}

/// What the member key says now.
fn face(turn: &Turn<'_>) -> Option<MemberFace> {
    let seen = turn.seen;
    let storage = seen.storage.state;
    let (timeline, lsn, streaming, checkpointed, follows) = (None, None, false, false, None);
    let blank = |state, role| MemberFace { state, role, timeline, lsn, streaming, checkpointed, storage, follows };
    let leads = matches!(seen.lease, Lease::Mine(_));
    let by_lease = if leads { Role::Primary } else { Role::Demoted };
    let mut face = match &seen.postgres {
        // That nothing can be written here is worth telling even where nothing more is known.
        Postgres::Unknown if storage == Storage::Broken => {
            blank(MemberState::Unknown, if turn.memory.was_standby { Role::Replica } else { by_lease })
        }
        Postgres::Unknown => return None,
        Postgres::NoData | Postgres::HalfMade => blank(MemberState::Stopped, Role::Uninitialized),
        Postgres::Stopped(stopped) => {
            let state = if stopped.clean { MemberState::Stopped } else { MemberState::Crashed };
            let role = if stopped.was_primary { by_lease } else { Role::Replica };
            MemberFace { timeline: Some(stopped.position.timeline), lsn: Some(stopped.position.lsn), ..blank(state, role) }
        }
        Postgres::Starting { as_primary, .. } => blank(MemberState::Starting, if *as_primary { by_lease } else { Role::Replica }),
        Postgres::Unresponsive { .. } => {
            blank(MemberState::Unknown, if turn.memory.was_standby { Role::Replica } else { by_lease })
        }
        Postgres::Running(running) => match &running.role {
            ServerRole::Primary { position, checkpointed, .. } => MemberFace {
                timeline: Some(position.timeline),
                lsn: Some(position.lsn),
                checkpointed: *checkpointed,
                ..blank(MemberState::Running, by_lease)
            },
            ServerRole::Standby { position, replayed, streaming, upstream, slot_differs: _ } => MemberFace {
                state: if *streaming { MemberState::Streaming } else { MemberState::Running },
                role: Role::Replica,
                timeline: position.map(|position| position.timeline),
                lsn: Some(position.map_or(*replayed, |position| position.lsn)),
                streaming: *streaming,
                checkpointed: false,
                storage,
                follows: upstream.as_ref().map(|upstream| upstream.epoch),
            },
        },
    };
    match seen.job.as_ref().map(|running| &running.job) {
        Some(Job::Bootstrap) => face.state = MemberState::Initializing,
        Some(Job::Clone { .. }) => face.state = MemberState::CreatingReplica,
        Some(Job::Stop(_)) => face.state = MemberState::Stopping,
        _ => {}
    }
    let failed =
        seen.last_job.as_ref().is_some_and(|last| matches!((&last.job, &last.outcome), (Job::Start(_), JobOutcome::Failed(_))));
    if failed && matches!(seen.postgres, Postgres::Stopped(_)) && seen.job.is_none() {
        face.state = MemberState::StartFailed;
    }
    Some(face)
}
