//! How a write to the store ended, as a yes or no for the loop and a line in the log.

use tanist_dcs::lease::WriteOutcome;

/// Whether a leader write was carried out. The reason of any other end is logged here, once.
pub fn written(what: &str, outcome: WriteOutcome) -> bool {
    match outcome {
        WriteOutcome::Done(revision) => {
            tracing::debug!(what, %revision, "written");
            true
        }
        WriteOutcome::Lost => {
            tracing::warn!(what, "not written: the leader key is not ours any more");
            false
        }
        WriteOutcome::Conflict => {
            tracing::info!(what, "not written: the key has changed meanwhile");
            false
        }
        WriteOutcome::Failed(error) => {
            tracing::warn!(what, %error, "not known to be written");
            false
        }
    }
}
