//! Parameters whose new value waits for a restart: which, what is in force, and what is written.

use crate::{SessionError, session::Session};
use std::time::Duration;
use tokio::time::timeout;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRestart {
    /// Its name.
    pub parameter: String,
    /// The value in force.
    pub old: String,
    /// The value after a restart.
    pub new: String,
}

/// Of several lines the last counts; without any, the default. The server reads the files for this question, and applies nothing.
const SQL: &str = "\
SELECT s.name, current_setting(s.name) AS old,
       coalesce((SELECT f.setting FROM pg_file_settings AS f WHERE lower(f.name) = lower(s.name) ORDER BY f.seqno DESC LIMIT 1),
                s.boot_val, '') AS new
  FROM pg_settings AS s WHERE s.pending_restart ORDER BY s.name LIMIT 100";

pub(crate) async fn read(session: &Session, limit: Duration) -> Result<Vec<PendingRestart>, SessionError> {
    let rows = timeout(limit, session.client.query(SQL, &[])).await.map_err(|_| SessionError::Timeout(limit))??;
    let one = |row: &tokio_postgres::Row| {
        Ok(PendingRestart { parameter: row.try_get("name")?, old: row.try_get("old")?, new: row.try_get("new")? })
    };
    rows.iter().map(one).collect()
}
