//! Promotion, by the guard, which is armed for the epoch. The job ends when the server has left recovery.
//!
//! It opens the claimed timeline and no other (SAFETY §4.3): without the claim in the store, as this node's mirror has it, nothing is
//! asked of the guard, and the guard refuses a timeline that it was not told of as claimed for the epoch it is armed for.

use super::{JobError, blocking};
use crate::{execute::Tools, run::clock};
use std::time::Duration;
use tanist_engine::{Epoch, Observation, Postgres, ServerRole, Timeline};
use tanist_postgres::{cut, skip_timelines};

/// How long readers may hold a promotion up.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a look for them may take.
const LIMIT: Duration = Duration::from_secs(1);

impl Tools {
    pub(super) async fn promote(&self, epoch: Epoch, timeline: Timeline, seen: &Observation) -> Result<(), JobError> {
        let Some(present) = standby_timeline(seen) else {
            return Err(JobError::Other("the timeline of the standby is not known".into()));
        };
        if !seen.store.timelines.iter().any(|claim| claim.timeline == timeline && claim.epoch == epoch) {
            return Err(JobError::Other(format!("timeline {timeline} is not claimed for epoch {epoch}")));
        }
        let settings = self.postgres.settings();
        blocking(move || skip_timelines(&settings.data_dir, present, timeline)).await??;
        // The agent that claimed it may have been one before this.
        self.note_claim(epoch, timeline);
        self.guard.promote(epoch.0, timeline.0).await?;
        let mut found = self.postgres.found();
        let mut looked = clock::now();
        loop {
            match &*found.borrow_and_update() {
                Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }) => return Ok(()),
                _ => {}
            }
            if self.guard.postmaster().is_none() {
                return Err(JobError::Other("PostgreSQL ended while it was being promoted".into()));
            }
            if clock::now() > looked + PATIENCE {
                looked = clock::now();
                match cut::free_replay(&self.postgres.settings(), LIMIT).await {
                    Ok(0) => {}
                    Ok(ended) => tracing::warn!(ended, "sessions that held replay up, and with it the promotion, were ended"),
                    Err(error) => tracing::debug!(%error, "whether readers hold the promotion up is not known"),
                }
            }
            self.postgres.probe_now();
            if found.changed().await.is_err() {
                return Err(JobError::Other("nobody looks at PostgreSQL any more".into()));
            }
        }
    }
}

fn standby_timeline(seen: &Observation) -> Option<Timeline> {
    let Postgres::Running(running) = &seen.postgres else { return None };
    let ServerRole::Standby { position, .. } = &running.role else { return None };
    position.map(|position| position.timeline)
}
