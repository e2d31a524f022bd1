//! Write a plugin for tanist in Rust.
//!
//! Implement [`Plugin`], name it in [`export!`], build for `wasm32-wasip2`:
//!
//! ```
//! use tanist_plugin::{Error, Event, Plugin, Role, log};
//!
//! struct Herald;
//!
//! impl Plugin for Herald {
//!     fn on_role_change(event: Event) -> Result<(), Error> {
//!         if event.role == Role::Primary {
//!             log::info(&format!("{} leads {} at epoch {}", event.node, event.cluster, event.epoch));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! tanist_plugin::export!(Herald);
//! ```
//!
//! The crate is a library of type `cdylib` and `rlib`; `cargo build --release --target wasm32-wasip2` makes the component. Off Wasm
//! the imports do not exist (calling one panics): put the work behind a trait of your own and test that with a fake, as the
//! bundled `dns-update` does.
//!
//! What a plugin may rely on: events come in order and at least once, the newest role wins, and the instance may be a fresh one at
//! every call. So decide from the event and the world, never from what you remember.

// The generated bindings call the component ABI and have no documentation of their own beyond the WIT's.
#[allow(missing_docs, unsafe_op_in_unsafe_fn)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        world: "plugin",
        path: "../../../wit/0.1",
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "__export_bindings",
    });
}

mod export;
mod plugin;
mod view;

pub mod config;
pub mod dns;
pub mod http;
pub mod leadership;
pub mod log;

pub use bindings::tanist::plugin::types::{Action, Event, Member, PluginError as Error, Primary, Role, View};
#[doc(hidden)]
pub use export::Adapter;
pub use plugin::Plugin;
