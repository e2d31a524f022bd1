//! I1 in failsafe mode: who may take a lease, and who may hold on to one without the store.

use super::{Violation, facts::Facts};
use crate::{Epoch, FenceState, Lease, Memory, Named, Postgres, ServerRole};

/// Nobody takes a lease whose record names only others, or while his own word to wait binds him.
pub(super) fn free(facts: &Facts<'_>) -> Result<(), Violation> {
    let here = &facts.seen.failsafe;
    let waits = here.waits.as_ref().is_some_and(|(_, _, until)| *until > facts.now);
    if here.barred || waits { Err(Violation::BoundToWait) } else { Ok(()) }
}

/// A Patroni does not look at the record: while one is there, naming the others means nothing.
pub(super) fn name(facts: &Facts<'_>, members: Option<&Named>) -> Result<(), Violation> {
    facts.mine("names the members")?;
    let Some(members) = members else { return Ok(()) };
    let patroni = facts.seen.store.has_patroni();
    if patroni || !members.contains_key(&facts.seen.me) { Err(Violation::NamedUnbound) } else { Ok(()) }
}

/// Only a primary that runs by permission holds on, and not while it gives up.
pub(super) fn ask(facts: &Facts<'_>, memory: &Memory, epoch: Epoch) -> Result<(), Violation> {
    facts.armed("asks the members to wait", epoch)?;
    let ours = match &facts.seen.lease {
        Lease::Mine(held) => held.epoch == epoch && held.until > facts.now,
        Lease::Unknown => true,
        Lease::Vacant { .. } | Lease::Theirs(_) => false,
    };
    let primary =
        matches!(&facts.seen.postgres, Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }));
    let giving_up = memory.giving_up.is_some() || memory.released.is_some();
    let fenced = facts.seen.guard.fence != FenceState::Open;
    let known = facts.seen.failsafe.voters.is_some();
    if ours && primary && known && !giving_up && !fenced { Ok(()) } else { Err(Violation::AskedInVain) }
}
