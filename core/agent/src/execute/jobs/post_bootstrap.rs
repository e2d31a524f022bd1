//! Users of a new cluster. Done again after a crash; it makes only what is missing.

use super::JobError;
use crate::execute::Tools;
use std::time::Duration;
use tanist_postgres::bootstrap;

/// How long the statements may take.
const LIMIT: Duration = Duration::from_secs(30);

impl Tools {
    pub(super) async fn post_bootstrap(&self) -> Result<(), JobError> {
        Ok(bootstrap::users(&self.postgres.settings(), LIMIT).await?)
    }
}
