//! Failsafe mode: the primary stays while the store is away, as long as everybody who may take over agrees to wait.
//!
//! While the store answers the lease record is made to name all members. When a renewal is not answered they are asked, every ttl/5 and
//! from early on: there is no budget to be spent first, so this never races with the end of the lease. One that refuses or is silent
//! means no extension, and the guard ends the primary as without this mode. A failed comparison is not silence: then the lease is lost,
//! and nothing here is asked.

use super::{members, renew, turn::Turn};
use crate::{Action, Epoch, FenceState, Held, Lease, MemberName, Moment, Named, Postgres, Reason, ServerRole};
use std::time::Duration;

/// The names and addresses in one record take at most this many bytes.
const MOST: usize = 8 << 10;

/// Names the members and asks them, beside whatever else happens. Returns the reason, which becomes another one where the store's
/// silence is the situation.
pub(super) fn failsafe(turn: &mut Turn<'_>, reason: Reason) -> Reason {
    name(turn);
    let waits = turn.seen.failsafe.waits.as_ref().filter(|(_, _, until)| *until > turn.now);
    if let Some((leader, _, until)) = waits {
        turn.wake(*until);
        let quiet = matches!(
            reason,
            Reason::Following { .. } | Reason::WaitStreaming { .. } | Reason::LeaseUnknown | Reason::StoreNeverRead
        );
        if quiet {
            return Reason::FollowingFailsafe { leader: leader.clone() };
        }
    }
    ask(turn).filter(|_| gives_way(&reason)).unwrap_or(reason)
}

/// These say only that nothing special happens.
fn gives_way(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Leading { .. }
            | Reason::Synchronising { .. }
            | Reason::PrimaryOnUnknownLease { .. }
            | Reason::StoreNeverRead
            | Reason::ProbePending
    )
}

/// Makes record and `/failsafe` name whom they should.
fn name(turn: &mut Turn<'_>) {
    let Some(held) = turn.held().filter(|held| turn.now < held.until) else { return };
    if turn.memory.giving_up.is_some() || leaving(turn) || turn.seen.store.as_of.is_none() || silent_since(turn, held) <= turn.now
    {
        return;
    }
    // Whoever is no primary cannot hold on, and would only keep others from taking over.
    let primary = matches!(&turn.seen.postgres, Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }));
    if !primary && turn.seen.failsafe.named.is_none() {
        return;
    }
    let wanted = wanted(turn);
    let here = &turn.seen.failsafe;
    if here.named != wanted || turn.seen.store.failsafe != wanted || !here.tidy {
        turn.act(Action::NameFailsafe { members: wanted });
    }
}

/// Everybody, this node too. Nobody while a Patroni is in the cluster: what it agrees to does not bind it long enough. A member whose
/// key has gone stays named for two ttl: after an outage of the store the keys of all are gone until each has put its own again, and a
/// record that does not name them would keep them from taking over.
fn wanted(turn: &mut Turn<'_>) -> Option<Named> {
    let seen = turn.seen;
    let patroni = seen.store.has_patroni();
    if !turn.policy.failsafe || patroni {
        turn.memory.failsafe_missed.clear();
        return None;
    }
    let url = |name: &MemberName, url: &Option<String>| Some((name.clone(), url.clone()?));
    let mut named: Named = seen.store.members.iter().filter_map(|member| url(&member.name, &member.api_url)).collect();
    let gone = seen.failsafe.named.iter().flatten().filter(|(name, _)| !named.contains_key(*name));
    let gone: Vec<(MemberName, String)> = gone.map(|(name, url)| (name.clone(), url.clone())).collect();
    let before = std::mem::take(&mut turn.memory.failsafe_missed);
    for (name, url) in gone {
        let since = members::first_missed(&before, &name).unwrap_or(turn.now);
        if !turn.reached(since + turn.policy.ttl * 2) {
            turn.memory.failsafe_missed.push((name.clone(), since));
            named.insert(name, url);
        }
    }
    let bytes: usize = named.iter().map(|(name, url)| name.0.len() + url.len() + 8).sum();
    Some(named).filter(|named| bytes <= MOST && named.contains_key(&seen.me))
}

/// A renewal is due after ttl/5 and has ttl/5 to be answered: from then on the store counts as silent. An agent that has adopted a lease
/// does not wait for its first.
fn silent_since(turn: &Turn<'_>, held: &Held) -> Moment {
    let adopted = held.renewed == Moment::ZERO;
    let patience = if adopted { Duration::ZERO } else { renew::every(turn, held) };
    renew::due(turn, held) + patience
}

/// Whoever gives up, releases or leaves does not hold on.
fn leaving(turn: &Turn<'_>) -> bool {
    turn.asked(|action| matches!(action, Action::Release { .. } | Action::Exit | Action::Fence))
}

/// Asks the members when the store is silent and a primary runs here by permission.
fn ask(turn: &mut Turn<'_>) -> Option<Reason> {
    let armed = turn.armed().filter(|_| turn.seen.guard.fence == FenceState::Open)?;
    let Postgres::Running(running) = &turn.seen.postgres else { return None };
    let ServerRole::Primary { position, proof, .. } = &running.role else { return None };
    if leaving(turn) || turn.memory.giving_up.is_some() || turn.memory.released.is_some() {
        return None;
    }
    match &turn.seen.lease {
        Lease::Mine(held) if turn.policy.failsafe && held.epoch == armed.epoch && turn.now < held.until => {
            let since = silent_since(turn, held);
            if !turn.reached(since) {
                return None;
            }
        }
        // An agent that has just started and does not reach the store: the page says that a lease is held, and until when.
        Lease::Unknown => {
            let proved = proof.is_some_and(|proof| proof.epoch == armed.epoch && proof.timeline == position.timeline);
            if turn.seen.failsafe.agreed.is_some() && !proved {
                turn.act(Action::Prove { epoch: armed.epoch });
            }
        }
        Lease::Mine(_) | Lease::Vacant { .. } | Lease::Theirs(_) => return None,
    }
    let here = &turn.seen.failsafe;
    here.voters.as_ref()?;
    let pace = turn.policy.renew_every() / if here.refused.is_some() { 2 } else { 1 };
    let due = match here.asked {
        Some(at) => turn.reached(at + pace),
        None => true,
    };
    if due && !here.asking {
        turn.act(Action::AskToWait { epoch: armed.epoch });
    }
    Some(said(turn, armed.epoch, armed.until))
}

fn said(turn: &mut Turn<'_>, epoch: Epoch, until: Moment) -> Reason {
    let here = &turn.seen.failsafe;
    if let Some((member, why)) = &here.refused {
        return Reason::FailsafeRefused { member: member.clone(), why: why.clone(), until };
    }
    let lately = turn.policy.renew_every() * 2;
    match here.agreed.is_some_and(|at| !turn.reached(at + lately)) {
        true => Reason::LeadingFailsafe { epoch },
        false => Reason::AskingToWait { until },
    }
}
