//! `tanist plugin`: looking at plugins, before they are trusted with anything and afterwards.

use super::{Failure, plugin_list, run::beside};
use clap::Subcommand;
use std::{
    path::{Path, PathBuf},
    process,
};

/// What can be asked of plugins.
#[derive(Subcommand)]
pub enum Command {
    /// Show the plugins of the cluster's members: state, grants, queue, last outcome, breaker, journal
    List(plugin_list::Arguments),
    /// Load a component in the sandbox; show what it asks for, what is granted, and the lines to add
    Check {
        /// The component: a file, or `builtin:NAME`
        #[arg(value_name = "FILE")]
        component: PathBuf,
        /// Imports that are granted, separated by commas; `log` and `config` always are
        #[arg(long, value_name = "IMPORTS", default_value = "")]
        grants: String,
        /// The name the plugin has in the configuration
        #[arg(long, value_name = "NAME", default_value = "NAME")]
        name: String,
    },
}

/// Asks it.
pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(arguments) => plugin_list::run(&arguments),
        Command::Check { component, grants, name } => check(&component, &grants, &name),
    }
}

fn check(component: &Path, grants: &str, name: &str) -> Result<(), Failure> {
    let host = beside("tanist-plugin-host")?;
    let grants = format!("log,config,{grants}");
    let status = process::Command::new(&host)
        .arg("check")
        .arg(component)
        .args(["--id", name, "--grants", &grants])
        .status()
        .map_err(|error| Failure::environment(format!("{}: {error}", host.display())))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("{} does not run here as it is", component.display())))
}
