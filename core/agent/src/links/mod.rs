//! Links to the parts that live outside of the run loop: the guard, the local PostgreSQL, plugins, the DNS connection point, peers.
//!
//! Each link turns what its part says into facts for the loop, and offers calls that never block it.

mod directory;
mod failsafe;
mod guard;
mod jobs;
mod live;
mod manifests;
mod names;
pub(crate) mod peers;
mod plugins;
mod postgres;
mod promised;
mod requests;
mod scripts;
mod slots;
mod storage;
mod updater;
pub(crate) mod wal;
mod watch;

pub use directory::DirectoryLink;
pub use failsafe::{FailsafeLink, Kept, Question};
pub use guard::{GuardError, GuardLink};
pub use live::LiveLink;
pub use names::{NamesError, NamesLink};
pub use peers::PeersLink;
pub use plugins::{PluginsError, PluginsLink};
pub use postgres::PostgresLink;
pub use promised::{PromiseError, PromiseLink};
pub use slots::SlotsLink;
pub use storage::StorageLink;
pub use watch::watch_guard;
