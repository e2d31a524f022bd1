//! Patroni's forms: what its tools and peers read and write, as types and conversions.
//!
//! * [`dcs`]: the JSON of the keys under `/<namespace>/<scope>/`, byte for byte as Patroni writes it;
//! * [`own`]: the JSON of the keys that tanist adds under `tanist/`;
//! * [`rest`]: bodies and rules of the REST API;
//! * [`dynamic`]: the dynamic configuration (`bootstrap.dcs` of patroni.yml, the key `config`) and its conversion to the engine's policy.
//!
//! Everything read is bounded and checked: too long, not JSON, or of the wrong type is a [`DecodeError`] that names key and field;
//! unknown fields are ignored. Conversions from and to the engine's types destructure them, so that a new field breaks the build
//! until somebody has thought about it.
//!
//! Deliberately absent: I/O, clocks, async, and any decision.

#![forbid(unsafe_code)]

pub mod dcs;
pub mod dynamic;
mod error;
mod fields;
mod json;
pub mod own;
pub mod rest;
mod scalar;
mod tags;
mod words;

pub use error::{DecodeError, MAX_VALUE};
pub use json::{dcs_text, rest_text};
pub use scalar::{parse_bool, parse_bytes, scalar_text};
pub use tags::{TagMap, engine_tags, published_tags};
pub use words::{role_from_word, state_from_word, state_word, storage_from_word, storage_word};

/// The Patroni release whose forms these are. Written into the member key as `version`, because Patroni's peers and tools derive
/// from it which fields they may expect.
pub const PATRONI_VERSION: &str = "4.1.4";
