//! Asking the guard to fence now. The effect ends when the page says that the fence is complete.

use super::Tools;
use std::time::Duration;
use tanist_guard::{page::FenceState, protocol::Command};

/// How long a fence may take before the request is repeated; the guard's own deadline holds in any case.
const LIMIT: Duration = Duration::from_secs(5);

impl Tools {
    pub(super) async fn fence(&self) -> bool {
        if let Err(error) = self.guard.send(&Command::Fence) {
            tracing::error!(%error, "the guard could not be asked to fence");
            return false;
        }
        let complete = async {
            while self.guard.fence_state() != FenceState::Complete {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, complete).await.is_ok()
    }
}
