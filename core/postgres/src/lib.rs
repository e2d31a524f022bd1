//! Drives one local PostgreSQL, versions 13 to 18: what is in its data directory, what its configuration says, which commands
//! start, make and copy it, and what a running server answers.
//!
//! This crate never starts, stops or promotes a server and never runs a program that writes the data directory: it hands out
//! [`Command`]s, which the guard runs. There is no SQL promotion anywhere; only the guard promotes, while armed.
//!
//! - [`layout`]: a data directory without a server, and the marks of unfinished work;
//! - [`configure`]: the generated configuration files; [`accepted`]: what PostgreSQL would say to the values in them;
//! - [`plan`]: command lines; [`progress`]: how far a copy is;
//! - [`Prober`]: the state of the running server as the engine's [`tanist_engine::Postgres`];
//! - [`slots`]: replication slots; [`tablespaces`]: what is outside of the data directory;
//! - [`mod@cut`]: the barrier under a promise;
//! - [`mod@prove`], [`bootstrap`], [`sql`]: what is done over a session; [`signal`]: what needs none.

#![forbid(unsafe_code)]

pub mod accepted;
mod auto_conf;
pub mod bootstrap;
mod checkpointer;
pub mod configure;
pub mod conninfo;
pub mod control;
pub mod cut;
pub mod files;
mod history;
mod identify;
mod in_force;
mod kept;
pub mod layout;
pub mod leader;
mod locks;
mod mark;
pub mod names;
pub mod new_session;
mod newcomers;
mod pending;
pub mod plan;
mod probe;
mod probe_row;
pub mod progress;
pub mod prove;
mod quote;
mod rules;
mod session;
mod settings;
pub mod signal;
mod skip;
pub mod slots;
pub mod sql;
mod standby_position;
pub mod tablespaces;
mod way;
mod wire;

pub use configure::{ConfigureError, ServerConfig};
pub use control::{ControlData, ControlError};
pub use history::{Switch, TimelineHistory, timeline_history};
pub use in_force::InForce;
pub use layout::{LayoutError, OnDisk};
pub use locks::{LocksError, remove_stale_locks};
pub use mark::{Mark, Work};
pub use new_session::NewSession;
pub use pending::PendingRestart;
pub use plan::{Command, PlanError};
pub use probe::{Facts, Prober, Started, TurnedAway};
pub use probe_row::Walsender;
pub use progress::CloneProgress;
pub use session::SessionError;
pub use settings::{Credentials, Settings, SettingsError};
pub use skip::{SkipError, forget_skipped, skip_timelines};
