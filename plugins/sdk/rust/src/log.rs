//! Lines in the agent's log.

use crate::bindings::tanist::plugin::log::{Level, write};

/// Details for the author.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// What was done.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something is odd, the work was done.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// The work was not done.
pub fn error(message: &str) {
    write(Level::Error, message);
}
