//! The contract as Rust types, from the WIT package.
//!
//! One world with everything, never instantiated as a world: a component exports any subset, and each interface is looked up on
//! its own.

#![allow(missing_docs)]

wasmtime::component::bindgen!({
    path: "../../wit/0.1",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
});

pub use exports::tanist::plugin::{callbacks, reconcile};
pub use tanist::plugin::{config, dns, http, leadership, log, types};
