//! The write probe (SAFETY §6): success shows up as a `WriteProof` in the next probe's result.

use super::Tools;
use tanist_engine::Epoch;

impl Tools {
    pub(super) async fn prove(&self, epoch: Epoch) -> bool {
        match self.postgres.prove(epoch).await {
            Ok(()) => {
                self.postgres.probe_now();
                true
            }
            Err(error) => {
                tracing::warn!(%epoch, "not writable yet: {error}");
                false
            }
        }
    }
}
