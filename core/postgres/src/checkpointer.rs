//! Whether server processes have acted on a reload that was signalled to them. PostgreSQL has no function that tells.
//!
//! Checkpointer and walsenders run the same loop: reset the latch, read the configuration if SIGHUP came, work, wait for the latch.
//! The SIGHUP handler sets the latch, so a process that has the signal and has not read the configuration does not sleep in that
//! wait. So, with the signal sent before:
//!
//! > wait event "main wait" – kernel state *sleeping* – wait event "main wait" again: the configuration has been read.
//!
//! Were the two wait events of one wait, the process slept inside it, after the signal was sent: no handler had anything left to do
//! (the signal makes a sleeping process runnable before `kill` returns). Were they of two waits, a reading lies between them. One
//! look without the state in the middle would not do: the wait of an instant that the latch ends at once looks the same.
//!
//! A checkpoint in progress sleeps in a wait of its own with the same loop around it, since PostgreSQL 15. Before, it sleeps
//! deaf to the latch: nothing is concluded until the checkpoint is done.

use crate::{SessionError, session::Session};
use std::{fs, time::Duration};
use tokio::time::{Instant, sleep, timeout};

const WAITS: [&str; 3] = ["CheckpointerMain", "WalSenderMain", "CheckpointWriteDelay"];

/// Whether all these processes have read the configuration that was signalled before the call. `false`: not known within the limit.
pub(crate) async fn have_reloaded(session: &Session, pids: &[i32], limit: Duration) -> Result<bool, SessionError> {
    let waits = if session.version >= 150_000 { &WAITS[..] } else { &WAITS[..2] };
    let deadline = Instant::now() + limit;
    let mut left = pids.to_vec();
    loop {
        let first = waiting(session, &left, waits, limit).await?;
        let sleeping: Vec<i32> = first.into_iter().filter(|pid| is_sleeping(*pid)).collect();
        let second = waiting(session, &sleeping, waits, limit).await?;
        left.retain(|pid| !second.contains(pid));
        if left.is_empty() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Which of these processes are in one of these waits.
async fn waiting(session: &Session, pids: &[i32], waits: &[&str], limit: Duration) -> Result<Vec<i32>, SessionError> {
    if pids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT pid FROM pg_stat_get_activity(NULL) WHERE pid = ANY ($1) AND wait_event = ANY ($2)";
    let rows = timeout(limit, session.client.query(sql, &[&pids, &waits])).await.map_err(|_| SessionError::Timeout(limit))??;
    rows.iter().map(|row| row.try_get(0).map_err(SessionError::from)).collect()
}

/// State S in `/proc/<pid>/stat`: asleep, interruptible, with nothing to do.
fn is_sleeping(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(&stat) == Some('S'))
}

/// The state follows the program's name, which is in parentheses and may contain any.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_follows_the_name() {
        assert_eq!(state("12 (postgres) S 1 2"), Some('S'));
        assert_eq!(state("12 (a) S (b) R 1 2"), Some('R'));
        assert_eq!(state(""), None);
    }
}
