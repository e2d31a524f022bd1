//! The checkpoint after a promotion. PostgreSQL makes it by itself, but spread over minutes, in which nobody could be rewound.

use super::Tools;
use std::time::Duration;
use tanist_postgres::sql;

/// A longer one goes on by itself.
const LIMIT: Duration = Duration::from_secs(600);

impl Tools {
    pub(super) async fn checkpoint_after_promotion(&self) -> bool {
        let done = sql::checkpoint(&self.postgres.settings(), LIMIT).await;
        if let Err(error) = &done {
            tracing::warn!("no checkpoint after promotion yet, and so nobody can be rewound from here: {error}");
        }
        self.postgres.probe_now();
        done.is_ok()
    }
}
