//! `tanist dcs`: the embedded store, served on a Unix socket.

use super::Failure;
use crate::config::{LogLevel, LogSettings};
use clap::Args;
use std::path::PathBuf;
use tanist_dcs::local;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `tanist dcs`.
#[derive(Args)]
pub struct Arguments {
    /// The Unix socket to serve on
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// A file in which the state survives a restart; without it the store forgets
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Serves until it is asked to stop.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let _log = super::log::start(LogSettings { level: LogLevel::Info, json: false }).map_err(Failure::failed)?;
    tracing::warn!("the embedded store serves the agents of one machine; nodes on several machines need etcd");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(Failure::failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
        let stop = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        local::serve(&arguments.socket, arguments.state.as_deref(), stop).await.map_err(Failure::environment)
    })
}
