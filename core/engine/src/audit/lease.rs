//! I1 and I3: taking, holding and leaving the lease, and the guard's permission.

use super::{Violation, facts::Facts};
use crate::{Epoch, FenceState, Lease, Moment, Revision};

/// Only a lease seen vacant is taken, at the very revision it was seen vacant at.
pub(super) fn acquire(facts: &Facts<'_>, revision: Revision) -> Result<(), Violation> {
    facts.own_data("acquires")?;
    super::failsafe::free(facts)?;
    facts.can_write("acquires")?;
    match &facts.seen.lease {
        Lease::Vacant { record, .. } if *record == revision && facts.seen.store.as_of.is_some() => Ok(()),
        _ => Err(Violation::AcquireNotVacant),
    }
}

/// A lease is given up only when nothing of it can write any more. It may be over already.
pub(super) fn release(facts: &Facts<'_>) -> Result<(), Violation> {
    match facts.seen.lease {
        Lease::Mine(_) => facts.quiet("releases"),
        _ => Err(Violation::NotMine { what: "releases" }),
    }
}

/// The permission never outlives the lease.
pub(super) fn arm(facts: &Facts<'_>, epoch: Epoch, until: Moment) -> Result<(), Violation> {
    let held = facts.mine_at("arms", epoch)?;
    let sound =
        until <= held.until && until > facts.now + facts.seen.guard.budget && facts.seen.guard.fence != FenceState::Running;
    if !sound {
        return Err(Violation::ArmTooLong);
    }
    if epoch < facts.seen.guard.newest { Err(Violation::ArmTooOld) } else { Ok(()) }
}

/// The guard stays armed while there is something to fence.
pub(super) fn disarm(facts: &Facts<'_>) -> Result<(), Violation> {
    if facts.seen.postgres.may_be_writable() || facts.seen.is_opening() {
        Err(Violation::MayWrite { what: "disarms" })
    } else {
        Ok(())
    }
}

/// The agent ends only on request, with nothing writable, and without a lease that still runs.
pub(super) fn exit(facts: &Facts<'_>) -> Result<(), Violation> {
    let held = matches!(&facts.seen.lease, Lease::Mine(held) if facts.now < held.until);
    if held || !facts.seen.stopping { Err(Violation::ExitTooEarly) } else { facts.quiet("ends") }
}
