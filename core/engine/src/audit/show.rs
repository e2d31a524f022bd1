//! I4: what the cluster is told.

use super::{Violation, facts::Facts};
use crate::{Emission, Epoch, Face, Lease, Lsn, Postgres, Revision, Role, ServerRole, Timeline};

/// `/initialize` is written once, for the cluster that runs here.
pub(super) fn initialize(facts: &Facts<'_>, id: &str) -> Result<(), Violation> {
    let what = "writes /initialize";
    facts.mine(what)?;
    facts.primary(what)?;
    let ours = matches!(&facts.seen.postgres, Postgres::Running(running) if running.system_id == id);
    if ours && facts.seen.store.initialize.is_none() { Ok(()) } else { Err(Violation::WrongState { what }) }
}

/// A write that proves happens under the lease; a restarted agent that does not reach the store has the guard's permission, extended by
/// all who may take over.
pub(super) fn prove(facts: &Facts<'_>, epoch: Epoch) -> Result<(), Violation> {
    match facts.seen.lease {
        Lease::Unknown if facts.seen.failsafe.agreed.is_some() => facts.armed("proves", epoch),
        _ => facts.mine_at("proves", epoch).map(drop),
    }
}

/// A timeline number is claimed by one epoch only, and none below a claimed one; one that nobody can have reached is no claim.
pub(super) fn claim(facts: &Facts<'_>, timeline: Timeline, epoch: Epoch) -> Result<(), Violation> {
    facts.mine_at("claims a timeline", epoch)?;
    let taken =
        facts.seen.store.timelines.iter().any(|claim| (timeline.0..timeline.0.saturating_add(9_000)).contains(&claim.timeline.0));
    if taken { Err(Violation::ClaimTaken) } else { Ok(()) }
}

/// The begin of the running timeline, for the epoch that claimed it.
pub(super) fn record(facts: &Facts<'_>, timeline: Timeline, epoch: Epoch, begin: Lsn) -> Result<(), Violation> {
    facts.mine("records a timeline")?;
    let position = facts.primary("records a timeline")?;
    let claimed = facts.seen.store.timelines.iter().any(|claim| claim.timeline == timeline && claim.epoch == epoch);
    let sound = claimed && position.timeline == timeline && begin <= position.lsn;
    if sound { Ok(()) } else { Err(Violation::WrongTimeline) }
}

/// The face names a server that accepted a write under this epoch on this timeline, and never goes back.
pub(super) fn primary(facts: &Facts<'_>, face: &Face) -> Result<(), Violation> {
    let what = "publishes";
    facts.mine_at(what, face.epoch)?;
    facts.armed(what, face.epoch)?;
    let position = facts.primary(what)?;
    let proof = match &facts.seen.postgres {
        Postgres::Running(running) => match &running.role {
            ServerRole::Primary { proof, .. } => *proof,
            ServerRole::Standby { .. } => None,
        },
        _ => None,
    };
    let proved = proof.is_some_and(|proof| proof.epoch == face.epoch && proof.timeline == face.timeline);
    if !proved || face.timeline != position.timeline || face.name != facts.seen.me {
        return Err(Violation::NotProved);
    }
    let back = facts
        .seen
        .store
        .primary
        .as_ref()
        .is_some_and(|shown| shown.epoch > face.epoch || (shown.epoch == face.epoch && shown.name != face.name));
    if back { Err(Violation::EpochWentBack { what }) } else { Ok(()) }
}

/// Plugins hear of a primary only after everybody could see it, and of a demotion only when nothing can write.
pub(super) fn emit(facts: &Facts<'_>, emission: &Emission) -> Result<(), Violation> {
    match emission.role {
        Role::Primary if emission.callback != crate::Callback::OnStop => {
            facts.mine_at("announces a primary", emission.epoch)?;
            let shown = facts.seen.store.primary.as_ref();
            let visible = shown.is_some_and(|face| face.epoch == emission.epoch && face.name == facts.seen.me);
            if visible { Ok(()) } else { Err(Violation::NotProved) }
        }
        Role::Demoted => facts.quiet("announces a demotion"),
        Role::Primary | Role::Replica | Role::Uninitialized => Ok(()),
    }
}

pub(super) fn clear_switchover(facts: &Facts<'_>, revision: Revision) -> Result<(), Violation> {
    facts.mine("clears a switchover")?;
    let same = facts.seen.store.switchover.as_ref().is_some_and(|asked| asked.revision == revision);
    if same { Ok(()) } else { Err(Violation::WrongRevision) }
}
