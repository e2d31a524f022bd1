//! The facts an opinion is based on.

use super::Violation;
use crate::{Epoch, FenceState, Held, Lease, Moment, Observation, Policy, Position, Postgres, ServerRole, Storage};

pub(super) struct Facts<'a> {
    pub policy: &'a Policy,
    pub seen: &'a Observation,
    pub now: Moment,
}

impl<'a> Facts<'a> {
    /// The lease is this node's and still runs.
    pub fn mine(&self, what: &'static str) -> Result<&'a Held, Violation> {
        match &self.seen.lease {
            Lease::Mine(held) if held.until > self.now => Ok(held),
            _ => Err(Violation::NotMine { what }),
        }
    }

    /// The same, under exactly this epoch.
    pub fn mine_at(&self, what: &'static str, epoch: Epoch) -> Result<&'a Held, Violation> {
        let held = self.mine(what)?;
        if held.epoch == epoch { Ok(held) } else { Err(Violation::WrongEpoch { what }) }
    }

    /// The guard lets a writable PostgreSQL run under this epoch.
    pub fn armed(&self, what: &'static str, epoch: Epoch) -> Result<(), Violation> {
        let armed = self.seen.guard.armed.is_some_and(|armed| armed.epoch == epoch && armed.until > self.now);
        if armed && self.seen.guard.fence != FenceState::Running { Ok(()) } else { Err(Violation::NotArmed { what }) }
    }

    /// Nothing here can write: no server outside of recovery, or all of it fenced; and none about to be. A fence that is complete may have
    /// been so before an order to open reached the guard, which carries it out for as long as it has permission.
    pub fn quiet(&self, what: &'static str) -> Result<(), Violation> {
        let writable = match &self.seen.postgres {
            Postgres::Starting { as_primary, .. } => *as_primary,
            Postgres::Running(running) => matches!(running.role, ServerRole::Primary { .. }),
            Postgres::Unresponsive { .. } => true,
            Postgres::Unknown | Postgres::NoData | Postgres::HalfMade | Postgres::Stopped(_) => false,
        };
        let guard = &self.seen.guard;
        let permitted = guard.armed.is_some_and(|armed| armed.until > self.now + guard.budget);
        let fenced = guard.fence == FenceState::Complete;
        let harmless = if self.seen.is_opening() { fenced && !permitted } else { fenced || !writable };
        if harmless { Ok(()) } else { Err(Violation::MayWrite { what }) }
    }

    /// Position of the running primary.
    pub fn primary(&self, what: &'static str) -> Result<Position, Violation> {
        match &self.seen.postgres {
            Postgres::Running(running) => match &running.role {
                ServerRole::Primary { position, .. } => Ok(*position),
                ServerRole::Standby { .. } => Err(Violation::WrongState { what }),
            },
            _ => Err(Violation::WrongState { what }),
        }
    }

    /// The storage takes writes: nobody leads on one that does not.
    pub fn can_write(&self, what: &'static str) -> Result<(), Violation> {
        if self.seen.storage.state == Storage::Broken { Err(Violation::Storage { what }) } else { Ok(()) }
    }

    /// The local data belong to the cluster, as far as both are known.
    pub fn own_data(&self, what: &'static str) -> Result<(), Violation> {
        let ours = match &self.seen.postgres {
            Postgres::Stopped(stopped) => Some(&stopped.system_id),
            Postgres::Running(running) => Some(&running.system_id),
            _ => None,
        };
        match (ours, &self.seen.store.initialize) {
            (Some(ours), Some(cluster)) if ours != cluster => Err(Violation::Foreign { what }),
            _ => Ok(()),
        }
    }
}
