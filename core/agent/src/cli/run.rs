//! `tanist run`: checks the configuration and becomes the guard, which starts the agent. `tanist agent`: the agent itself.

use super::Failure;
use crate::{
    config::{Environment, Loaded, Settings, load},
    run::{Ending, Source, StartError, run_agent},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};
use tanist_guard::{
    client::{ConnectError, Connection, GIVES_UP},
    page::Page,
};

/// Who databases belong to where nothing else is configured.
const DATABASE_USER: &str = "postgres";
/// Threads that may wait for a disk at the same time. Each kind of work that does has at most one, so that with every disk hanging some
/// are left for the names of the store and of the peers.
const BLOCKING_THREADS: usize = 32;

/// This process's environment, as far as it is text.
pub fn environment() -> Environment {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

fn settings(path: &Path, tell: bool) -> Result<Settings, Failure> {
    let Loaded { settings, notes } = load(path, &environment()).map_err(Failure::unusable)?;
    if tell {
        for note in notes {
            eprintln!("tanist: {}: {note}", note.severity);
        }
    }
    Ok(settings)
}

/// Becomes the guard. Returns only when that fails.
pub fn run(config: &Path) -> Result<(), Failure> {
    let settings = settings(config, true)?;
    let config = std::path::absolute(config).map_err(|error| Failure::config(format!("{}: {error}", config.display())))?;
    let me = std::env::current_exe().map_err(|error| Failure::failed(format!("the path of this program: {error}")))?;
    let guard = beside("tanist-guard")?;
    beside("tanist-plugin-host")?;
    let user = rustix::process::geteuid().is_root().then(|| settings.user.clone().unwrap_or_else(|| DATABASE_USER.to_owned()));
    let owner = user_ids(user.as_deref(), settings.user.as_deref())?;
    prepare_directories(&settings, owner)?;
    let mut command = Command::new(&guard);
    command.arg("--data-dir").arg(&settings.postgres.data_dir).arg("--state-dir").arg(&settings.state_dir);
    if let Some(user) = user {
        command.arg("--user").arg(user);
    }
    command.arg("--").arg(me).arg("agent").arg(config);
    let error = command.exec();
    Err(Failure::environment(format!("{} cannot be run: {error}", guard.display())))
}

/// Runs the agent, under a guard. The guard starts one after the other while PostgreSQL runs; what each of them would say is said once.
pub fn agent(config: &Path) -> Result<(), Failure> {
    let connection = Connection::from_env();
    let page = connection.as_ref().ok().map(Connection::shared_page);
    let outcome = under_guard(config, connection);
    if let (Err(failure), Some(page)) = (&outcome, page)
        && !is_news(failure, &page)
    {
        std::process::exit(failure.code.into());
    }
    outcome
}

fn is_news(failure: &Failure, page: &Page) -> bool {
    let mut digest = DefaultHasher::new();
    (failure.code, &failure.message).hash(&mut digest);
    page.complain(digest.finish())
}

/// This node must not go on as it is, whatever runs.
fn gives_up(message: String) -> Failure {
    Failure { message, code: GIVES_UP as u8 }
}

fn under_guard(config: &Path, connection: Result<Connection, ConnectError>) -> Result<(), Failure> {
    let settings = settings(config, false)?;
    let _log =
        super::log::start(settings.cluster.log).map_err(|error| Failure::retry(format!("no thread for the log: {error}")))?;
    let connection = connection.map_err(Failure::config)?;
    let plugin_host = beside("tanist-plugin-host")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failure::retry(format!("no runtime: {error}")))?;
    let source = Source { file: config.to_owned(), environment: environment() };
    let ending = runtime.block_on(run_agent(settings, source, connection, plugin_host));
    // Tasks that wait for a dead disk are not waited for.
    runtime.shutdown_background();
    match ending {
        Ok(Ending::Stopped) => Ok(()),
        Ok(Ending::Fatal(message)) => Err(gives_up(message)),
        Ok(Ending::GuardDead) => Err(Failure::failed("the guard is dead; PostgreSQL is fenced")),
        Err(error @ (StartError::Rest(_) | StartError::Names(_) | StartError::Listen(_))) => Err(Failure::environment(error)),
        Err(error @ (StartError::Plugins(_) | StartError::StateDir { .. } | StartError::Promise(_) | StartError::Store(_))) => {
            Err(Failure::config(error))
        }
        Err(error @ StartError::System(_)) => Err(Failure::retry(error)),
    }
}

/// A program that is installed beside this one.
pub fn beside(name: &str) -> Result<PathBuf, Failure> {
    let me = std::env::current_exe().map_err(|error| Failure::failed(format!("the path of this program: {error}")))?;
    let path = me.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    let remedy = "tanist, tanist-guard and tanist-plugin-host belong into one directory";
    Err(Failure::environment(format!("{} is missing: {remedy}", path.display())))
}

/// Who everything is to belong to: the user that a process started as root becomes, or whoever this process is.
fn user_ids(switch_to: Option<&str>, configured: Option<&str>) -> Result<(u32, u32), Failure> {
    if let Some(user) = switch_to {
        return match ids_of(user)? {
            (0, _) => {
                Err(Failure::config(format!("tanist.user: {user} is root, as whom PostgreSQL does not run; name another user")))
            }
            ids => Ok(ids),
        };
    }
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match configured {
        Some(user) if ids_of(user)?.0 != own.0 => Err(Failure::config(format!(
            "tanist.user: {user} is not the user this runs as (uid {}), and only root can switch; start it as root or as {user}",
            own.0
        ))),
        _ => Ok(own),
    }
}

/// State directory and data directory, for the database user, where they are missing. Existing ones are left as they are.
fn prepare_directories(settings: &Settings, owner: (u32, u32)) -> Result<(), Failure> {
    let (uid, gid) = owner;
    for (key, path) in [("tanist.state_dir", &settings.state_dir), ("postgresql.data_dir", &settings.postgres.data_dir)] {
        if let Ok(found) = std::fs::metadata(path) {
            let problem = match (found.is_dir(), found.uid()) {
                (false, _) => "is not a directory; remove it or name another place".to_owned(),
                (true, other) if other != uid => {
                    format!("belongs to uid {other}, PostgreSQL runs as uid {uid}; run chown -R {uid}:{gid} on it")
                }
                (true, _) => continue,
            };
            return Err(Failure::config(format!("{key}: {} {problem}", path.display())));
        }
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        let given = made.and_then(|()| chown(path, Some(uid), Some(gid)));
        given.map_err(|error| Failure::config(format!("{key}: {} cannot be made: {error}", path.display())))?;
    }
    Ok(())
}

/// User and group id, as the system's own `id` says them: it asks every source of users that is configured.
pub fn ids_of(user: &str) -> Result<(u32, u32), Failure> {
    let ask = |option: &str| {
        let output = Command::new("id").arg(option).arg("--").arg(user).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    match (ask("-u"), ask("-g")) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(Failure::config(format!(
            "tanist.user: there is no user {user}; PostgreSQL does not run as root, name the user it runs as"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_postgres_every_message_is_told() {
        let (page, _fd) = Page::create(1).unwrap();
        for _ in 0..2 {
            assert!(is_news(&Failure::config("tanist.user: nobody"), &page));
        }
    }

    #[test]
    fn giving_up_is_not_a_configuration_error_to_the_guard() {
        let given_up = gives_up("name: n1 is the name of another node".to_owned());
        assert_ne!(given_up.code, Failure::config("").code);
        assert!((1..10).contains(&given_up.code), "10 and above are started again");
    }
}
