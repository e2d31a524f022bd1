//! The plugin's own settings, from the operator's configuration.

use crate::Error;
pub use crate::bindings::tanist::plugin::config::{entries, get};

/// The value of a key that must be there.
pub fn required(key: &str) -> Result<String, Error> {
    get(key).ok_or_else(|| Error::Permanent(format!("the configuration has no `{key}`")))
}
