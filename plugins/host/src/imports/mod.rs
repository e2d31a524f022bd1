//! The interfaces a guest may import: one file each. Only those that were granted are linked.

mod config;
mod dns;
mod http;
mod leadership;
mod log;

use crate::{bindings, guest::Guest};
use std::collections::BTreeSet;
use tanist_broker::protocol::Import;
use wasmtime::component::{HasSelf, Linker};

/// Adds WASI (with an empty context behind it) and the granted interfaces.
pub(crate) fn link(linker: &mut Linker<Guest>, granted: &BTreeSet<Import>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    for import in granted {
        match import {
            Import::Log => bindings::log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
            Import::Config => bindings::config::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
            Import::Leadership => bindings::leadership::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
            Import::Dns => bindings::dns::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
            Import::Http => bindings::http::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?,
        }
    }
    Ok(())
}
