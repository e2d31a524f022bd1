//! Asking the other members' agents for their positions, and what their answers say.
//!
//! In asynchronous mode the race is decided by these answers. They are asked while the lease is running out, so that it starts with
//! answers in hand; a member that does not answer within 300 ms is not waited for.

use super::turn::Turn;
use crate::{Action, MemberName, MemberState, Moment, Peer, PeerAnswer, Role};
use std::time::Duration;

/// How long the race waits for an answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// Asks, unless that was done after `since`. Returns until when answers are waited for; nothing when all that will come are there.
pub(super) fn ask(turn: &mut Turn<'_>, since: Moment) -> Option<Moment> {
    ask_but(turn, since, None)
}

/// The same, without waiting for that one.
pub(super) fn ask_but(turn: &mut Turn<'_>, since: Moment, but: Option<&MemberName>) -> Option<Moment> {
    let nobody = super::members::others(turn).all(|member| member.api_url.is_none());
    if nobody {
        return None;
    }
    let asked_at = match turn.memory.asked_at.filter(|at| *at >= since) {
        Some(at) => at,
        None => {
            turn.memory.asked_at = Some(turn.now);
            turn.act(Action::AskPeers);
            turn.now
        }
    };
    let complete = super::members::others(turn)
        .filter(|member| member.api_url.is_some() && Some(&member.name) != but)
        .all(|member| fresh(turn, since).any(|(peer, _)| peer.name == member.name));
    let until = asked_at + PATIENCE;
    (!complete && !turn.reached(until)).then_some(until)
}

/// The answers to questions sent at `since` or later.
pub(super) fn fresh<'a>(turn: &Turn<'a>, since: Moment) -> impl Iterator<Item = (&'a Peer, &'a PeerAnswer)> + use<'a> {
    let seen = turn.seen;
    let others = seen.peers.iter().filter(move |peer| peer.name != seen.me && peer.asked >= since);
    others.filter_map(|peer| Some((peer, peer.answer.as_ref()?)))
}

/// It says that it is a running primary.
pub(super) fn is_primary(answer: &PeerAnswer) -> bool {
    answer.role == Role::Primary && answer.state == MemberState::Running
}
