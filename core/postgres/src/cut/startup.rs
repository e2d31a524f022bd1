//! Whether the startup process has read the configuration that was signalled to it, while it replays, waits or is held up.
//!
//! It tells nobody. But it confirms a pause of replay only in a loop whose every round first reads what was signalled
//! (`recoveryPausesHere`), so two confirmations in a row that were asked for one after the other have a reading between them. One would
//! not do: the signal may have come between the reading and the confirmation of that round.

use super::CutError;
use crate::{SessionError, session::Session};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Confirmations that prove a reading after the signal.
const ROUNDS: u32 = 2;
/// The first version that tells a pause that was asked for from one that has come to pass.
const TELLS_PAUSE: u32 = 140_000;
/// How long replay may be held up by readers before they are ended: a promise does not wait for a report to finish.
const PATIENCE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(2);

const LOOK: &str = "\
SELECT pg_get_wal_replay_pause_state() AS pause, s.wait_event_type, s.wait_event
  FROM (SELECT 1) AS one LEFT JOIN pg_stat_activity AS s ON s.backend_type = 'startup'";

/// Only those who may hold a lock, a snapshot or a pin: idle sessions stay.
const END_READERS: &str = "\
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";

/// The same, only if replay waits for somebody.
const FREE: &str = "\
SELECT count(pg_terminate_backend(reader.pid))
  FROM pg_stat_activity AS reader, pg_stat_activity AS startup
 WHERE startup.backend_type = 'startup'
   AND (startup.wait_event_type IN ('Lock', 'BufferPin') OR startup.wait_event LIKE 'RecoveryConflict%')
   AND reader.backend_type = 'client backend' AND reader.pid <> pg_backend_pid() AND reader.xact_start IS NOT NULL";

struct Look {
    pause: String,
    kind: String,
    wait: String,
}

/// Whether the server is a standby.
pub(super) async fn in_recovery(session: &Session, limit: Duration) -> Result<bool, SessionError> {
    let row = timeout(limit, session.client.query_one("SELECT pg_is_in_recovery()", &[])).await;
    Ok(row.map_err(|_| SessionError::Timeout(limit))??.try_get(0)?)
}

/// Returns when the startup process has read what the postmaster signalled before the call, with replay not paused, and with the
/// number of readers that were ended for it.
pub(super) async fn wait_until_read(session: &Session, deadline: Instant, limit: Duration) -> Result<u64, CutError> {
    if session.version < TELLS_PAUSE {
        return Err(CutError::TooOld(session.version / 10_000));
    }
    let waited = wait(session, deadline, limit).await;
    // Also where it failed: nobody else would ever resume it.
    run(session, "SELECT pg_wal_replay_resume()", limit).await?;
    waited
}

async fn wait(session: &Session, deadline: Instant, limit: Duration) -> Result<u64, CutError> {
    let (mut confirmed, mut asked) = (0, false);
    let (mut held_since, mut ended) = (None, 0);
    loop {
        let look = look(session, limit).await?;
        match (look.pause.as_str(), asked) {
            ("paused", true) => {
                confirmed += 1;
                if confirmed == ROUNDS {
                    return Ok(ended);
                }
                run(session, "SELECT pg_wal_replay_resume()", limit).await?;
                asked = false;
                continue;
            }
            // Somebody paused it before: what it confirmed then says nothing.
            ("paused" | "pause requested", false) => run(session, "SELECT pg_wal_replay_resume()", limit).await?,
            ("not paused", _) => {
                run(session, "SELECT pg_wal_replay_pause()", limit).await?;
                asked = true;
            }
            _ => {}
        }
        if !look.is_held_up() {
            held_since = None;
        } else if held_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            ended += end_readers(session, limit).await?;
            held_since = None;
        }
        // A delay on purpose looks at no pause until it is over.
        if Instant::now() >= deadline || look.wait == "RecoveryApplyDelay" {
            return Err(CutError::Startup(limit, look.describe()));
        }
        sleep(PAUSE).await;
    }
}

impl Look {
    /// Waits for sessions that hold a lock, a snapshot or a pin. In this wait it reads nothing.
    fn is_held_up(&self) -> bool {
        self.kind == "Lock" || self.kind == "BufferPin" || self.wait.starts_with("RecoveryConflict")
    }

    fn describe(&self) -> String {
        if self.wait.is_empty() { "it is at work".into() } else { format!("it waits in {} {}", self.kind, self.wait) }
    }
}

async fn look(session: &Session, limit: Duration) -> Result<Look, CutError> {
    let row = timeout(limit, session.client.query_one(LOOK, &[])).await.map_err(|_| SessionError::Timeout(limit))?;
    let row = row.map_err(SessionError::from)?;
    let text = |column: &str| row.try_get::<_, Option<String>>(column).map(Option::unwrap_or_default).map_err(SessionError::from);
    Ok(Look { pause: text("pause")?, kind: text("wait_event_type")?, wait: text("wait_event")? })
}

async fn end_readers(session: &Session, limit: Duration) -> Result<u64, SessionError> {
    count(session, END_READERS, limit).await
}

/// Ends the readers that replay waits for.
pub(super) async fn free(session: &Session, limit: Duration) -> Result<u64, SessionError> {
    count(session, FREE, limit).await
}

async fn count(session: &Session, sql: &str, limit: Duration) -> Result<u64, SessionError> {
    let row = timeout(limit, session.client.query_one(sql, &[])).await.map_err(|_| SessionError::Timeout(limit))??;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}

async fn run(session: &Session, sql: &str, limit: Duration) -> Result<(), SessionError> {
    timeout(limit, session.client.batch_execute(sql)).await.map_err(|_| SessionError::Timeout(limit))??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(kind: &str, wait: &str) -> Look {
        Look { pause: "not paused".into(), kind: kind.into(), wait: wait.into() }
    }

    #[test]
    fn what_readers_can_hold_up() {
        for (kind, wait) in [("Lock", "relation"), ("BufferPin", "BufferPin"), ("IPC", "RecoveryConflictSnapshot")] {
            assert!(look(kind, wait).is_held_up(), "{wait}");
        }
        for (kind, wait) in [("Activity", "RecoveryWalStream"), ("IPC", "RecoveryPause"), ("", "")] {
            assert!(!look(kind, wait).is_held_up(), "{wait}");
        }
    }
}
