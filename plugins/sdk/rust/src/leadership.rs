//! What this node knows of the leader lease.

pub use crate::bindings::tanist::plugin::leadership::{current_epoch, is_current, lease_left_ms};
