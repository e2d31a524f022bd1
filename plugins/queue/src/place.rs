//! Which event goes before which, and which makes which pointless.

use super::{Queued, Waiting};
use tanist_engine::Callback;

/// Lower ranks are called first. A release that failed once must not hold up a claim; a reload holds up nothing.
pub(super) fn rank<E: Queued>(waiting: &Waiting<E>) -> u8 {
    match &waiting.event {
        event if lesser(event.callback()) => 2,
        event if event.on_behalf_of().is_some() && waiting.attempts > 0 => 1,
        _ => 0,
    }
}

/// Of what waits in its order, those of which any may be called next. The order binds what was not a failed release or a reload: with such
/// an event in front, nothing else is called. What is behind the last of them changes nothing for each other.
pub(super) fn next_in_turn<E: Queued>(waiting: &[Waiting<E>]) -> &[Waiting<E>] {
    match waiting.first() {
        Some(first) if rank(first) == 0 => &waiting[..1],
        _ => waiting,
    }
}

/// A reload changes nothing that a client could be drawn to or sent away from.
fn lesser(callback: Callback) -> bool {
    callback == Callback::OnReload
}

/// Whether a newer event makes another call for this one pointless. A role change gives way to a newer role change, and once it was
/// tried also to a stop, so that a claim that cannot succeed never delays a release. A release on behalf of another node gives way to
/// a newer one for the same node only.
pub(super) fn pointless<E: Queued>(older: &Waiting<E>, newer: &E) -> bool {
    let (event, attempts) = (&older.event, older.attempts);
    match (event.on_behalf_of(), newer.on_behalf_of()) {
        (Some(node), Some(other)) => return node == other,
        (None, None) => {}
        _ => return false,
    }
    let (older, newer) = (event.callback(), newer.callback());
    let tried = attempts > 0 && !lesser(older) && !lesser(newer);
    let ends_it = matches!(newer, Callback::OnRoleChange | Callback::OnStop) || older != Callback::OnRoleChange;
    older == newer || (tried && ends_it)
}
