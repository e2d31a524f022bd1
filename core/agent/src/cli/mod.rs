//! The command line: what each subcommand is called, and how its outcome becomes a message and an exit code.

mod check_config;
mod dcs;
mod dns;
mod explain;
mod history;
mod http;
mod list;
mod log;
mod plugin;
mod plugin_list;
mod remote;
mod repair;
mod replay;
mod restart;
pub mod run;
mod show_config;
mod switchover;
mod table;

use clap::{Args, Parser, Subcommand};
use std::{fmt, path::PathBuf, process::ExitCode};

/// Keeps one PostgreSQL writable, and the clients' entry point on it.
#[derive(Parser)]
#[command(name = "tanist", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run this node: guard, agent, PostgreSQL
    Run(ConfigFile),
    /// The agent; started by the guard
    #[command(hide = true)]
    Agent(ConfigFile),
    /// Serve the embedded store on a Unix socket (one machine: demo, tests, development)
    Dcs(dcs::Arguments),
    /// Serve a cluster's names from its store, without a database on this node
    Dns(ConfigFile),
    /// Three real PostgreSQL nodes on this machine, one name, and failovers
    Demo(crate::demo::Arguments),
    /// Show the members of the cluster
    List(remote::Arguments),
    /// Show the leader and who streams from it
    Topology(remote::Arguments),
    /// Show the timelines that have ended, and who opened the next
    History(remote::Arguments),
    /// Show the dynamic configuration in the store
    ShowConfig(remote::Arguments),
    /// Move the leadership to another member, in order
    Switchover(switchover::Arguments),
    /// Restart PostgreSQL on members of the cluster
    Restart(restart::Restart),
    /// Let members read their configuration files again
    Reload(restart::Reload),
    /// Tell why this node did what it did
    Explain(explain::Arguments),
    /// Decide what a flight recorder holds once more, and compare
    Replay(replay::Arguments),
    /// Read a configuration file and report every fault and every key that has no effect
    CheckConfig(ConfigFile),
    /// Look at plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Mend what no node may mend by itself
    #[command(subcommand)]
    Repair(repair::Command),
    /// Show the version
    Version,
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigFile {
    /// Configuration in the form of patroni.yml
    #[arg(value_name = "CONFIG")]
    path: PathBuf,
}

/// Why a command failed: one message for people, one exit code for scripts.
#[derive(Debug)]
pub struct Failure {
    /// What happened and what to do, without a trailing full stop.
    message: String,
    /// 1 the command failed; 2 configuration or arguments; 3 a program or port is missing or taken; 10 try again.
    code: u8,
}

impl Failure {
    /// The command failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// A configuration that cannot be obeyed, one line per error.
    pub fn unusable(errors: Vec<crate::config::ConfigError>) -> Self {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Self::config(lines.join("\ntanist: "))
    }

    /// Configuration or arguments are wrong.
    pub fn config(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// The agent failed for a reason that may pass: the guard starts it again.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 10 }
    }

    /// Something this machine should offer is missing or taken.
    pub fn environment(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 3 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(file) => run::run(&file.path),
        Command::Agent(file) => run::agent(&file.path),
        Command::Dcs(arguments) => dcs::run(&arguments),
        Command::Dns(file) => dns::run(&file.path),
        Command::Demo(arguments) => crate::demo::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Topology(arguments) => list::topology(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::ShowConfig(arguments) => show_config::run(&arguments),
        Command::Switchover(arguments) => switchover::run(&arguments),
        Command::Restart(arguments) => restart::restart(&arguments),
        Command::Reload(arguments) => restart::reload(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::CheckConfig(file) => check_config::run(&file.path),
        Command::Plugin(command) => plugin::run(command),
        Command::Repair(command) => repair::run(&command),
        Command::Version => {
            println!("tanist {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tanist: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
