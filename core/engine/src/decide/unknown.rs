//! The store does not answer. Unknown is never "vacant" (invariant I3): nothing is acquired, started writable, or given up.

use super::{promise, turn::Turn};
use crate::{Job, Postgres, Reason, ServerRole, StartAs};

/// A primary goes on until the guard ends it; a standby serves reads.
pub(super) fn wait(turn: &mut Turn<'_>) -> Reason {
    if turn.may_write() {
        // `fence::guarded` has made sure that the permission still runs.
        let until = turn.armed().map_or(turn.now, |armed| armed.until);
        turn.wake(until);
        return Reason::PrimaryOnUnknownLease { until };
    }
    match &turn.seen.postgres {
        // Without an upstream it only replays what it has, which is all an isolated standby can do.
        Postgres::Stopped(stopped) if stopped.is_incomplete() => Reason::LeaseUnknown,
        Postgres::Stopped(stopped) if !stopped.was_primary && (stopped.clean || turn.fence_complete()) => {
            turn.run(Job::Start(StartAs::Standby(None)), Reason::StartingStandby)
        }
        Postgres::Running(running) => match &running.role {
            ServerRole::Standby { upstream, .. } => promise::repeat(turn, upstream.as_ref()).unwrap_or(Reason::LeaseUnknown),
            ServerRole::Primary { .. } => Reason::LeaseUnknown,
        },
        _ => Reason::LeaseUnknown,
    }
}
