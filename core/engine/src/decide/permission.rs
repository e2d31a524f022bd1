//! The lease is held and the guard's permission is missing (SAFETY §2, "arm before promote").
//!
//! A guard that runs gives it within milliseconds. One that stands still (stopped, or starved of its processor) gives none for as long as
//! that lasts, while the agent goes on renewing the lease: nobody could lead. So after half a ttl the lease goes to whoever can, if
//! anybody can.

use super::{leading::release, members, turn::Turn};
use crate::{Held, MemberName, Reason};

/// Who could lead instead, as it is seen then.
type Heir = fn(&Turn<'_>) -> Option<MemberName>;

/// Asks for the permission, for which `reason` waits; or hands over to the heir. Nothing here can write.
pub(super) fn wait(turn: &mut Turn<'_>, held: &Held, heir: Heir, reason: Reason) -> Reason {
    let asked = turn.memory.permission_asked.filter(|(epoch, _)| *epoch == held.epoch).map(|(_, since)| since);
    let silent_since = asked.map(|since| since + turn.policy.ttl / 2).filter(|at| turn.reached(*at));
    if let Some(since) = silent_since
        && members::asking(turn, since).is_none()
        && let Some(to) = heir(turn)
    {
        turn.stay_out();
        return release(turn, Some(to.clone()), Reason::GuardSilent { to });
    }
    if turn.arm(held) && asked.is_none() {
        turn.memory.permission_asked = Some((held.epoch, turn.now));
    }
    reason
}
