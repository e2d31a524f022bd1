//! The cluster as the store shows it: opening the configured store, and reading its keys into the engine's view.

mod open;
mod view;

pub use open::open;
pub use view::{ViewReader, is_identity};
