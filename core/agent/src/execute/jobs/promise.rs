//! The promise (SAFETY §4.2). Asked for only where the observation shows that this agent can keep one.

use super::JobError;
use crate::execute::Tools;
use tanist_engine::{Epoch, SyncNames};

impl Tools {
    pub(super) async fn promise(&self, epoch: Epoch, _names: &SyncNames) -> Result<(), JobError> {
        Err(JobError::Other(format!("the walreceiver cannot be cut here, so epoch {epoch} is not promised")))
    }
}
