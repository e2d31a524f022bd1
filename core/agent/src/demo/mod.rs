//! `tanist demo`.

use crate::cli::Failure;
use clap::Args;

/// Arguments of `tanist demo`.
#[derive(Args)]
pub struct Arguments {
    /// Leave the cluster running and print how to connect
    #[arg(long)]
    keep: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    Err(Failure::failed(format!("keep {}", arguments.keep)))
}
