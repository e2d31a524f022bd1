//! `log`: a line to the agent, unanswered.

use crate::{bindings::log, guest::Guest, text::clip};
use tanist_broker::protocol::{Level, ToAgent};

/// Longest line.
const MAX_LINE: usize = 4 << 10;

impl log::Host for Guest {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.output.charge(message.len())?;
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let line = ToAgent::Log { plugin: self.kind.plugin.clone(), call: self.call, level, text: clip(&message, MAX_LINE) };
        self.kind.agent.send(&line);
        Ok(())
    }
}
