//! The trait of a plugin.

use crate::{Error, Event, View};

/// A plugin. Every method does nothing unless it is written; write those you need. Functions without `self`: an instance has no
/// state that would survive a fault.
pub trait Plugin {
    /// PostgreSQL was started.
    fn on_start(_event: Event) -> Result<(), Error> {
        Ok(())
    }

    /// PostgreSQL is being stopped.
    fn on_stop(_event: Event) -> Result<(), Error> {
        Ok(())
    }

    /// PostgreSQL was restarted.
    fn on_restart(_event: Event) -> Result<(), Error> {
        Ok(())
    }

    /// The configuration was reloaded.
    fn on_reload(_event: Event) -> Result<(), Error> {
        Ok(())
    }

    /// The role of the node changed; to `Primary` only after the server was proved to accept writes.
    fn on_role_change(_event: Event) -> Result<(), Error> {
        Ok(())
    }

    /// Compare what should be with what is, and repair the difference.
    fn reconcile(_view: View) -> Result<(), Error> {
        Ok(())
    }
}
