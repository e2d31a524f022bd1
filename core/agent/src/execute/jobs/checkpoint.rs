//! A CHECKPOINT before a planned stop, so that the stop itself is short.

use super::JobError;
use crate::execute::Tools;
use std::time::Duration;
use tanist_postgres::sql;

/// A longer one is left to the shutdown.
const LIMIT: Duration = Duration::from_secs(60);

impl Tools {
    pub(super) async fn checkpoint(&self) -> Result<(), JobError> {
        Ok(sql::checkpoint(&self.postgres.settings(), LIMIT).await?)
    }
}
