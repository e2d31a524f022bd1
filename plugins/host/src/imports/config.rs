//! `config`: what came with the load.

use crate::{bindings::config, guest::Guest};

impl config::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        let found = self.kind.config.iter().find(|(name, _)| *name == key);
        Ok(found.map(|(_, value)| value.clone()))
    }

    async fn entries(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.kind.config.to_vec())
    }
}
