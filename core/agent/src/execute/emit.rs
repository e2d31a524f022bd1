//! Handing a callback to plugins and callback scripts. Returns at once, whatever they do.

use super::Tools;
use tanist_engine::{Emission, Observation};

impl Tools {
    /// Delivers one callback.
    pub fn emit(&self, emission: Emission, seen: &Observation, cause: String) {
        tracing::info!(callback = %emission.callback, role = %emission.role, epoch = %emission.epoch, "callback");
        self.plugins.emit(emission, seen, cause);
    }
}
