//! `tanist-plugin-host`: the sandbox process. Started by the agent without arguments; `check` is for people and `tanist plugin
//! check`; `compile` is its own child.

#![forbid(unsafe_code)]

use std::{collections::BTreeSet, env, path::PathBuf, process::ExitCode};
use tanist_broker::protocol::{Import, PluginId, Source, inherited_socket};
use tanist_plugins::{
    CACHE_ENV, Compiler, Loader, Sandbox, check, compile_stdin, give_up_privileges, serve, volunteer_for_the_oom_killer,
};

const USAGE: &str = "usage: tanist-plugin-host check FILE|builtin:NAME [--id ID] [--grants log,config,leadership,dns,http]
(without arguments it is started by the agent)";

/// Everything the command line can ask for.
enum Command {
    Serve,
    Compile,
    Check { plugin: PluginId, source: Source, granted: BTreeSet<Import> },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let command = match parse(&arguments) {
        Ok(command) => command,
        Err(text) => {
            eprintln!("{text}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Command, String> {
    let mut rest = arguments.iter().map(String::as_str);
    let (file, mut options) = match rest.next() {
        None => return Ok(Command::Serve),
        Some("compile") if arguments.len() == 1 => return Ok(Command::Compile),
        Some("check") => (rest.next().ok_or("check: which file?")?, rest),
        Some(other) => return Err(format!("there is no command {other}")),
    };
    let source = match file.strip_prefix("builtin:") {
        Some(name) => Source::Builtin(name.to_owned()),
        None => Source::Path(PathBuf::from(file)),
    };
    let mut plugin = match &source {
        Source::Builtin(name) => name.clone(),
        Source::Path(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let mut granted = BTreeSet::from([Import::Log, Import::Config]);
    while let Some(option) = options.next() {
        let value = options.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option {
            "--id" => value.clone_into(&mut plugin),
            "--grants" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    granted.insert(import(name)?);
                }
            }
            other => return Err(format!("there is no option {other}")),
        }
    }
    Ok(Command::Check { plugin: PluginId(plugin), source, granted })
}

fn import(name: &str) -> Result<Import, String> {
    Import::ALL.into_iter().find(|import| import.name() == name.trim()).ok_or_else(|| format!("there is no import {name}"))
}

/// Whether the answer is a good one; the error is for people.
fn run(command: Command) -> Result<bool, String> {
    if let Err(error) = volunteer_for_the_oom_killer() {
        // A container may hide its `/proc`; plugins are worth more than this precaution.
        eprintln!("the kernel may prefer other processes to this one when memory runs out: /proc/self/oom_score_adj: {error}");
    }
    if matches!(command, Command::Compile) {
        // A component is compiled once, with all processors; whatever the agent has to do goes first.
        rustix::process::nice(10).map_err(|error| format!("the priority cannot be lowered: {error}"))?;
        return compile_stdin().map(|()| true);
    }
    // Before the first thread: capabilities belong to threads.
    if matches!(command, Command::Serve) {
        give_up_privileges().map_err(|error| format!("privileges cannot be given up: {error}"))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let sandbox = Sandbox::start().map_err(|error| format!("the sandbox cannot be started: {error}"))?;
    let cache = env::var_os(CACHE_ENV).map(PathBuf::from);
    let loader = Loader::new(sandbox, cache, Compiler::this_program()).map_err(|error| error.to_string())?;
    match command {
        Command::Check { plugin, source, granted } => {
            let report = runtime.block_on(check(&loader, plugin, source, granted)).map_err(|error| error.to_string())?;
            println!("{report}");
            Ok(report.complete())
        }
        Command::Serve | Command::Compile => {
            let socket = inherited_socket().map_err(|error| error.to_string())?;
            runtime.block_on(serve(socket, loader)).map(|()| true).map_err(|error| error.to_string())
        }
    }
}
