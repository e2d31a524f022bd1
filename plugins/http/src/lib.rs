//! Sends the HTTP requests of plugins: one connection each, within a time, to an address that may be connected to.
//!
//! [`send`] resolves, checks the address ([`is_reserved`]), connects, adds credentials and signature ([`Access`]) and reads a bounded
//! answer. Deliberately absent: redirects, proxies, cookies, connections that are kept, and any opinion on what may be sent where.

#![forbid(unsafe_code)]

mod access;
mod address;
mod client;
mod sign;
mod tls;

pub use access::{Access, AccessError, Credentials};
pub use address::is_reserved;
pub use client::{Answer, Failure, Request, send};
pub use sign::{SIGNATURE, TIMESTAMP};
