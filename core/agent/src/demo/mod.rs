//! `tanist demo`: three real PostgreSQL nodes on this machine, a client that counts, and three faults.
//!
//! The story is on this page. What runs is in [`stage`]; what is done to it in [`faults`]. Whatever happens, also a signal or a panic,
//! the demo leaves no process, no file and no shared memory: [`Cleanup`] is made before anything it has to clean up.

mod config;
mod faults;
mod http;
mod keep;
mod lock;
mod named;
mod names;
mod place;
mod processes;
mod reaper;
mod remains;
mod report;
mod resolve;
mod screen;
mod stage;
mod table;
mod watch;
mod writer;

use crate::cli::Failure;
use clap::Args;
use faults::Fault;
use place::Place;
use reaper::Reaper;
use screen::Screen;
use stage::Stage;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Arguments of `tanist demo`.
#[derive(Args)]
pub struct Arguments {
    /// Leave the cluster running and print how to connect
    #[arg(long)]
    keep: bool,
    /// End the cluster that an earlier demo left running, and remove its directory
    #[arg(long, value_name = "DIR", conflicts_with = "keep")]
    stop: Option<PathBuf>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(directory) = &arguments.stop {
        return keep::stop(directory);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Failure::failed)?;
    // From here on a signal is an event of the story. It stays so: nothing interrupts the cleaning up either.
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let _one_at_a_time = lock::take()?;
    let directory = place::fresh_directory()?;
    let reaper = Reaper::new(directory.join(keep::LIST))?;
    let mut cleanup = Cleanup { reaper: reaper.clone(), directory: Some(directory.clone()) };
    let told = runtime.block_on(async {
        tokio::select! {
            biased;
            name = signals.next() => Err(Failure::failed(format!("{name}: everything is ended and removed"))),
            told = story(directory, reaper) => told,
        }
    });
    // Observers and table would tell of the end as if it were a fault.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let stage = told?;
    if arguments.keep {
        cleanup.directory = None;
        stage.screen.tell(&keep::instructions(&stage));
    }
    Ok(())
}

/// The story. It ends well only when nothing that was acknowledged is lost and both names moved each time.
async fn story(directory: PathBuf, reaper: Arc<Reaper>) -> Result<Stage, Failure> {
    let screen = Arc::new(Screen::new());
    screen.say(&format!("three PostgreSQL nodes, in {}", directory.display()));
    let stage = Stage::set(Place::choose(directory)?, reaper, screen).await?;
    table::start(&stage);
    stage.screen.say("three nodes are started; one makes the database, two copy it");
    let whole = stage.whole().await?;
    stage.screen.say(&format!("n{} is primary, n{} its synchronous standby; a client writes", whole.primary, whole.standby));
    let mut reports = Vec::new();
    for fault in [Fault::Postmaster, Fault::Node, Fault::Switchover] {
        let report = faults::commit(&stage, fault).await?;
        stage.screen.tell(&report.to_string());
        reports.push(report);
    }
    stage.screen.tell(&report::summary(&reports, stage.writer.doubtful()));
    if reports.iter().all(report::Report::is_good) { Ok(stage) } else { Err(Failure::failed("acknowledged rows are lost")) }
}

/// Ends what was started and removes the directory when it is dropped.
struct Cleanup {
    reaper: Arc<Reaper>,
    /// Nothing: the cluster runs on.
    directory: Option<PathBuf>,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let Some(directory) = &self.directory else { return };
        if let Err(problem) = self.reaper.end_all() {
            eprintln!("tanist: {problem}");
        }
        if let Err(error) = std::fs::remove_dir_all(directory) {
            eprintln!("tanist: {}: {error}; remove it by hand", directory.display());
        }
    }
}

/// Signals that end the demo.
struct Signals([(&'static str, Signal); 4]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |name, kind| signal(kind).map(|signal| (name, signal)).map_err(Failure::failed);
        Ok(Self([
            on("interrupted", SignalKind::interrupt())?,
            on("terminated", SignalKind::terminate())?,
            on("hung up", SignalKind::hangup())?,
            on("quit", SignalKind::quit())?,
        ]))
    }

    async fn next(&mut self) -> &'static str {
        let Self([(a, interrupt), (b, terminate), (c, hangup), (d, quit)]) = self;
        tokio::select! {
            _ = interrupt.recv() => a,
            _ = terminate.recv() => b,
            _ = hangup.recv() => c,
            _ = quit.recv() => d,
        }
    }
}
