//! A planned switchover: `/failover` asks this leader to hand over.
//!
//! checkpoint (so that the next one is short) → fast stop, whose shutdown checkpoint reaches the streaming candidate → release with a
//! hand-over to it. Renewals go on until the release. Whatever makes it impossible before the stop clears the request, after a moment
//! of patience with what may pass; a stop that is not clean is a crash, and `crashed` decides.

use super::{leading::release, members, primary::Primary, turn::Turn};
use crate::{
    Action, Chosen, Job, MemberName, Reason, Refusal, ServerRole, StopMode, Stopped, Storage, Switchover, SwitchoverProgress,
};
use std::time::Duration;

/// A request is not refused before this for what may pass by itself: after a change of leader a standby streams again at once, but the
/// probe that shows it is up to a second old.
const PATIENCE: Duration = Duration::from_secs(3);

/// While PostgreSQL runs: check, checkpoint, stop.
pub(super) fn carry_out(turn: &mut Turn<'_>, primary: &Primary<'_>) -> Option<Reason> {
    let Some(asked) = &turn.seen.store.switchover else {
        turn.memory.switchover = None;
        return None;
    };
    // Nobody led when it was asked; then this node won. Whoever asked was told so.
    if asked.leader.is_none() && turn.held().is_some_and(|held| asked.revision < held.acquisition) {
        return Some(refuse(turn, asked, Refusal::Overtaken));
    }
    let known = turn.memory.switchover.take().filter(|progress| progress.revision == asked.revision);
    let SwitchoverProgress { revision, seen_at, chosen } =
        known.unwrap_or(SwitchoverProgress { revision: asked.revision, seen_at: turn.now, chosen: None });
    let candidate = choose(turn, asked, primary.role, primary.position.lsn.0);
    // Chosen anew until the stop: the best when it was asked for may be out of reach a minute later.
    let begun = chosen.as_ref().map(|chosen| chosen.checkpoint_at);
    let checkpoint_at = begun.unwrap_or(turn.now);
    let best = candidate.as_ref().ok().map(|candidate| Chosen { candidate: candidate.clone(), checkpoint_at });
    turn.memory.switchover = Some(SwitchoverProgress { revision, seen_at, chosen: best.or(chosen) });
    let candidate = match candidate {
        Ok(candidate) => candidate,
        Err(why) if may_pass(&why) && turn.now < seen_at + PATIENCE => {
            turn.wake(seen_at + PATIENCE);
            return None;
        }
        Err(why) => return Some(refuse(turn, asked, why)),
    };
    let Some(checkpoint_at) = begun else {
        return Some(turn.run(Job::Checkpoint, Reason::SwitchoverCheckpoint { to: candidate }));
    };
    // A checkpoint that failed only makes the stop longer.
    let checkpointed = |report: &crate::JobReport| report.job == Job::Checkpoint && report.at >= checkpoint_at;
    if turn.seen.last_job.as_ref().is_some_and(|report| checkpointed(report) || matches!(report.job, Job::Stop(_))) {
        return Some(turn.run(Job::Stop(StopMode::Fast), Reason::SwitchoverStop { to: candidate }));
    }
    Some(turn.run(Job::Checkpoint, Reason::SwitchoverCheckpoint { to: candidate }))
}

/// Whether what forbids a switchover may be over a moment later.
fn may_pass(why: &Refusal) -> bool {
    match why {
        Refusal::TooFarBehind { .. } | Refusal::NotSynchronous { .. } | Refusal::NoCandidate => true,
        Refusal::OtherLeader { .. }
        | Refusal::AlreadyLeads
        | Refusal::Overtaken
        | Refusal::NoSuchCandidate { .. }
        | Refusal::Storage { .. }
        | Refusal::StopFailed => false,
    }
}

/// After the stop: hand over, if it was clean and somebody is there.
pub(super) fn hand_over(turn: &mut Turn<'_>, stopped: &Stopped) -> Option<Reason> {
    let asked = turn.seen.store.switchover.as_ref()?;
    if asked.leader.as_ref().is_some_and(|leader| *leader != turn.seen.me) {
        return None;
    }
    if !(stopped.clean && stopped.was_primary) {
        return Some(refuse(turn, asked, Refusal::StopFailed));
    }
    let remembered = turn.memory.switchover.as_ref().and_then(|progress| progress.chosen.as_ref());
    let remembered = remembered.map(|chosen| chosen.candidate.clone());
    let wanted = asked.candidate.clone().or(remembered);
    let wanted = wanted.filter(|name| able(turn, name) && safe(turn, name));
    let to = match asked.candidate {
        Some(_) => wanted,
        None => wanted.or_else(|| members::candidate(turn)),
    };
    Some(match to {
        Some(to) => release(turn, Some(to.clone()), Reason::SwitchoverRelease { to }),
        None => refuse(turn, asked, Refusal::NoCandidate),
    })
}

/// Clears a request that cannot be carried out. The next decision goes on without it.
fn refuse(turn: &mut Turn<'_>, asked: &Switchover, why: Refusal) -> Reason {
    turn.memory.switchover = None;
    turn.step(Action::ClearSwitchover { revision: asked.revision }, Reason::SwitchoverRefused { why })
}

/// Who takes over.
fn choose(turn: &Turn<'_>, asked: &Switchover, role: &ServerRole, position: u64) -> Result<MemberName, Refusal> {
    if let Some(leader) = asked.leader.as_ref().filter(|leader| **leader != turn.seen.me) {
        return Err(Refusal::OtherLeader { leader: leader.clone() });
    }
    let near = |name: &MemberName| {
        members::streaming(role, name)
            .is_some_and(|standby| position.saturating_sub(standby.flushed.0) <= turn.policy.maximum_lag_on_failover)
    };
    let Some(candidate) = asked.candidate.clone() else {
        let able =
            members::others(turn).filter(|member| able(turn, &member.name) && safe(turn, &member.name) && near(&member.name));
        let able = able.filter(|member| member.storage == Storage::Good);
        let best = able.max_by_key(|member| {
            let flushed = members::streaming(role, &member.name).map(|standby| standby.flushed);
            (flushed, member.tags.priority(), std::cmp::Reverse(&member.name))
        });
        return best.map(|member| member.name.clone()).ok_or(Refusal::NoCandidate);
    };
    if candidate == turn.seen.me {
        return Err(Refusal::AlreadyLeads);
    }
    if !able(turn, &candidate) {
        return Err(Refusal::NoSuchCandidate { candidate });
    }
    let storage = members::find(turn, &candidate).map(|member| member.storage).unwrap_or_default();
    if storage > turn.seen.storage.state {
        return Err(Refusal::Storage { candidate, storage });
    }
    if !safe(turn, &candidate) {
        return Err(Refusal::NotSynchronous { candidate });
    }
    if !near(&candidate) {
        return Err(Refusal::TooFarBehind { candidate });
    }
    Ok(candidate)
}

/// A member whose tags let it lead.
fn able(turn: &Turn<'_>, name: &MemberName) -> bool {
    members::find(turn, name).is_some_and(|member| member.tags.may_lead())
}

/// In synchronous mode only the standby named in `/sync` may take over.
fn safe(turn: &Turn<'_>, name: &MemberName) -> bool {
    !turn.by_sync() || members::is_sync_standby(turn, name)
}
