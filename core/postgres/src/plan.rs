//! Command lines for the guard. Nothing is run here.

use crate::{ControlData, Settings, configure::COMMAND_LINE, conninfo};
use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};
use tanist_engine::Upstream;

/// A program to run, completely described: nothing is inherited that is not said here.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The executable.
    pub program: PathBuf,
    /// Arguments, beginning with the program's name.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Where standard output and error go.
    pub log_file: PathBuf,
    /// A file that must be there while the program runs, and nowhere else: see [`Command::prepare`].
    secret: Option<(PathBuf, String)>,
}

/// Why a command cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The program is missing.
    #[error("{}: not found; set postgresql.bin_dir to the directory of PostgreSQL's programs", .0.display())]
    NoProgram(PathBuf),
    /// An address cannot be listened on.
    #[error("listen address {address}: {error}; another server uses this port, or the address is not of this machine")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Another server listens on the Unix socket.
    #[error("{}: another server listens there; choose another port or unix_socket_directories", .0.display())]
    Socket(PathBuf),
    /// A host name in `listen` has no address.
    #[error("listen address `{host}`: {error}")]
    Resolve {
        /// Which.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// A path or a file is not usable.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A path is not UTF-8.
    #[error("{}: not UTF-8", .0.display())]
    Path(PathBuf),
}

impl std::fmt::Debug for Command {
    /// Without the environment and the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("argv", &self.argv).field("log_file", &self.log_file).finish_non_exhaustive()
    }
}

impl Command {
    /// Writes what must be there before the program starts.
    pub fn prepare(&self) -> Result<(), PlanError> {
        let Some((path, content)) = &self.secret else { return Ok(()) };
        crate::files::write(path, content.as_bytes(), 0o600).map_err(|error| PlanError::File { path: path.clone(), error })
    }

    /// Removes it again, whatever became of the program.
    pub fn clean_up(&self) -> Result<(), PlanError> {
        let Some((path, _)) = &self.secret else { return Ok(()) };
        crate::files::remove(path).map_err(|error| PlanError::File { path: path.clone(), error })
    }

    fn new(settings: &Settings, program: PathBuf, log: &str) -> Result<Self, PlanError> {
        if !program.is_file() {
            return Err(PlanError::NoProgram(program));
        }
        let name = text(&program)?;
        Ok(Self {
            program,
            argv: vec![name],
            env: environment(),
            cwd: settings.state_dir.clone(),
            log_file: settings.state_dir.join(log),
            secret: None,
        })
    }
}

/// Makes a new cluster in the empty data directory.
pub fn initdb(settings: &Settings) -> Result<Command, PlanError> {
    let mut command = Command::new(settings, settings.program("initdb"), "initdb.log")?;
    command.argv.extend(["-D".to_owned(), text(&settings.data_dir)?]);
    command.argv.push(format!("--username={}", settings.superuser.username));
    if let Some(password) = &settings.superuser.password {
        let path = settings.state_dir.join("initdb-password");
        command.argv.push(format!("--pwfile={}", text(&path)?));
        command.secret = Some((path, format!("{password}\n")));
    }
    command.argv.extend(settings.initdb_options.iter().map(|option| format!("--{option}")));
    Ok(command)
}

/// Copies the upstream into the empty data directory. The password comes from the file [`crate::configure::write_pgpass`] wrote.
pub fn basebackup(settings: &Settings, from: &Upstream) -> Result<Command, PlanError> {
    let mut command = Command::new(settings, settings.program("pg_basebackup"), "basebackup.log")?;
    command.argv.extend(["-D".to_owned(), text(&settings.data_dir)?, "-X".to_owned(), "stream".to_owned()]);
    command.argv.extend(["--checkpoint=fast", "--progress", "--no-password"].map(str::to_owned));
    command.argv.extend(settings.basebackup_options.iter().map(|option| format!("--{option}")));
    command.argv.push(format!("--dbname={}", conninfo::copy_conninfo(settings, from)));
    command.env.push(("PGPASSFILE".to_owned(), text(&settings.pgpass)?));
    Ok(command)
}

/// Takes back what the data directory has beyond the history of `from`, or only looks whether it could. The server is shut down in
/// order; the configuration is written ([`crate::configure::write_for`]), for pg_rewind reads `restore_command` from it.
pub fn rewind(settings: &Settings, from: &Upstream, major: u32, dry_run: bool) -> Result<Command, PlanError> {
    let log = if dry_run { "rewind-check.log" } else { "rewind.log" };
    let mut command = Command::new(settings, settings.program("pg_rewind"), log)?;
    command.argv.extend(["-D".to_owned(), text(&settings.data_dir)?, "--no-ensure-shutdown".to_owned()]);
    if settings.parameters.get("restore_command").is_some_and(|command| !command.trim().is_empty()) {
        if major >= 15 {
            command.argv.push(format!("--config-file={}", text(&settings.config_file())?));
        }
        // Before version 15 it looks for the configuration in the data directory only.
        if major >= 15 || settings.config_dir == settings.data_dir {
            command.argv.push("--restore-target-wal".to_owned());
        }
    }
    if dry_run {
        command.argv.push("--dry-run".to_owned());
    }
    command.argv.push(format!("--source-server={}", conninfo::rewind_conninfo(settings, from)));
    command.env.push(("PGPASSFILE".to_owned(), text(&settings.pgpass)?));
    command.env.push(("LC_ALL".to_owned(), "C".to_owned()));
    Ok(command)
}

/// Empties the data directory, the WAL directory and the tablespaces that it points at, and keeps the directories themselves, which
/// may be mount points. `None`: nothing is there.
pub fn empty_data_dir(settings: &Settings) -> Result<Option<Command>, PlanError> {
    let file = |path: &Path, error| PlanError::File { path: path.to_owned(), error };
    if !settings.data_dir.try_exists().map_err(|error| file(&settings.data_dir, error))? {
        return Ok(None);
    }
    let mut command = Command::new(settings, "/usr/bin/find".into(), "empty.log")?;
    let mut targets = Vec::new();
    let links = match fs::read_dir(settings.data_dir.join("pg_tblspc")) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    for link in links.into_iter().chain([settings.data_dir.join("pg_wal")]) {
        if link.is_symlink()
            && let Ok(target) = fs::canonicalize(&link)
        {
            targets.push(text(&target)?);
        }
    }
    // Last the directory that knows the others: interrupted, the next attempt finds them again.
    targets.push(text(&settings.data_dir)?);
    command.argv.extend(targets);
    command.argv.extend(["-mindepth", "1", "-delete"].map(str::to_owned));
    Ok(Some(command))
}

/// Starts the server, in the foreground. `standby.signal` is the guard's business; `control` is read before each start, because a
/// standby must not run with less than its primary had when it wrote the WAL, whatever the configuration says.
pub fn postgres(settings: &Settings, control: &ControlData, standby: bool) -> Result<Command, PlanError> {
    let mut command = Command::new(settings, settings.program("postgres"), "postgres.log")?;
    command.argv.extend(["-D".to_owned(), text(&settings.data_dir)?]);
    command.argv.push(format!("--config-file={}", text(&settings.config_file())?));
    let fixed = crate::configure::fixed_parameters(settings);
    let mut parameters: BTreeMap<&str, String> = fixed.into_iter().filter(|(key, _)| COMMAND_LINE.contains(key)).collect();
    if standby {
        for (key, minimum) in &control.minimum_settings {
            if let Some(value) = parameters.get_mut(key)
                && value.parse::<u32>().is_ok_and(|value| value < *minimum)
            {
                *value = minimum.to_string();
            }
        }
    }
    command.argv.extend(parameters.into_iter().map(|(key, value)| format!("--{key}={value}")));
    Ok(command)
}

/// Whether the server will be able to listen: a message that names address and remedy, before a start that would fail with one
/// line in PostgreSQL's log. To be asked while no server of ours runs.
///
/// A port in use is an error always; a host name may have addresses that this machine does not (`localhost` without IPv6), as long
/// as it has one that does.
pub fn check_listen(settings: &Settings) -> Result<(), PlanError> {
    let socket = settings.socket_path();
    if UnixStream::connect(&socket).is_ok() {
        return Err(PlanError::Socket(socket));
    }
    for host in &settings.listen_addresses {
        let name = if host == "*" { "0.0.0.0" } else { host.as_str() };
        let addresses =
            (name, settings.port).to_socket_addrs().map_err(|error| PlanError::Resolve { host: host.clone(), error })?;
        let mut usable = false;
        let mut failed = None;
        for address in addresses {
            match TcpListener::bind(address) {
                Ok(_) => usable = true,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(PlanError::Listen { address, error }),
                Err(error) => failed = Some(PlanError::Listen { address, error }),
            }
        }
        if let (false, Some(error)) = (usable, failed) {
            return Err(error);
        }
    }
    Ok(())
}

/// The agent's environment without what would change the meaning of libpq programs, and without our own secrets. It is kept
/// because archive and restore commands get their credentials this way.
fn environment() -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| !key.starts_with("PG") || key.starts_with("PGBACKREST_"))
        .filter(|(key, _)| !key.starts_with("TANIST_") && !key.starts_with("PATRONI_"))
        .collect();
    env.sort();
    env
}

fn text(path: &Path) -> Result<String, PlanError> {
    path.to_str().map(str::to_owned).ok_or_else(|| PlanError::Path(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::sample;
    use tanist_engine::{Endpoint, Epoch};

    fn control() -> ControlData {
        ControlData {
            system_id: "1".into(),
            state: crate::control::ClusterState::ShutDown,
            checkpoint: tanist_engine::Lsn(0),
            checkpoint_timeline: tanist_engine::Timeline(1),
            minimum_recovery: tanist_engine::Lsn(0),
            minimum_recovery_timeline: tanist_engine::Timeline(0),
            wal_block: 8192,
            wal_segment: 1 << 24,
            hints_logged: true,
            minimum_settings: [("max_connections", 500), ("max_wal_senders", 3)].into(),
        }
    }

    #[test]
    fn a_standby_has_at_least_what_its_primary_had() {
        let argv = postgres(&sample(), &control(), true).unwrap().argv;
        assert!(argv.contains(&"--max_connections=500".to_owned()), "{argv:?}");
        assert!(argv.contains(&"--max_wal_senders=10".to_owned()), "{argv:?}");
        assert!(argv.contains(&"--listen_addresses=127.0.9.1,127.0.9.2".to_owned()), "{argv:?}");
        let argv = postgres(&sample(), &control(), false).unwrap().argv;
        assert!(argv.contains(&"--max_connections=100".to_owned()), "{argv:?}");
    }

    #[test]
    fn secrets_are_in_no_argument() {
        let mut settings = sample();
        settings.superuser.password = Some("hush".into());
        settings.replication.password = Some("hush".into());
        let from = Upstream { name: "b".into(), endpoint: Endpoint { host: "h".into(), port: 1 }, epoch: Epoch(1) };
        for command in [initdb(&settings), basebackup(&settings, &from), rewind(&settings, &from, 15, true)].map(Result::unwrap) {
            assert!(!format!("{:?} {command:?}", command.argv).contains("hush"));
        }
    }

    #[test]
    fn a_rewind_fetches_old_wal_where_there_is_an_archive() {
        let mut settings = Settings { config_dir: "/etc/x".into(), ..sample() };
        let from = Upstream { name: "b".into(), endpoint: Endpoint { host: "h".into(), port: 1 }, epoch: Epoch(1) };
        let argv = |settings: &Settings, major| rewind(settings, &from, major, false).unwrap().argv.join(" ");
        assert!(!argv(&settings, 15).contains("--restore-target-wal"));
        settings.parameters.insert("restore_command".into(), "cp /a/%f %p".into());
        assert!(argv(&settings, 15).contains("--config-file=/etc/x/postgresql.conf --restore-target-wal"));
        assert!(!argv(&settings, 14).contains("--restore-target-wal"));
        settings.config_dir = settings.data_dir.clone();
        assert!(argv(&settings, 13).contains("--restore-target-wal") && !argv(&settings, 13).contains("--config-file"));
        assert!(argv(&settings, 13).contains("user=postgres") && argv(&settings, 13).contains("dbname=postgres"));
        settings.rewind = Some(crate::Credentials { username: "rw".into(), password: None });
        assert!(argv(&settings, 13).contains("user=rw"));
    }

    #[test]
    fn missing_programs_name_bin_dir() {
        let settings = Settings { bin_dir: "/nowhere".into(), ..sample() };
        let error = initdb(&settings).unwrap_err().to_string();
        assert_eq!(error, "/nowhere/initdb: not found; set postgresql.bin_dir to the directory of PostgreSQL's programs");
    }

    #[test]
    fn a_used_port_is_named() {
        let taken = TcpListener::bind("127.0.9.2:0").unwrap();
        let settings = Settings { port: taken.local_addr().unwrap().port(), ..sample() };
        let error = check_listen(&settings).unwrap_err().to_string();
        assert!(error.starts_with(&format!("listen address 127.0.9.2:{}", settings.port)), "{error}");
        drop(taken);
        check_listen(&settings).unwrap();
    }

    #[test]
    fn tablespaces_and_wal_are_emptied_too() {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: root.path().join("data"), ..sample() };
        assert_eq!(empty_data_dir(&settings).unwrap(), None);
        for dir in ["data/pg_tblspc", "space", "wal"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        std::os::unix::fs::symlink(root.path().join("space"), settings.data_dir.join("pg_tblspc/16384")).unwrap();
        std::os::unix::fs::symlink(root.path().join("wal"), settings.data_dir.join("pg_wal")).unwrap();
        fs::write(root.path().join("space/x"), "").unwrap();
        fs::write(root.path().join("wal/x"), "").unwrap();
        let command = empty_data_dir(&settings).unwrap().unwrap();
        let status = std::process::Command::new(&command.program).args(&command.argv[1..]).status().unwrap();
        assert!(status.success());
        for dir in ["data", "space", "wal"] {
            assert_eq!(fs::read_dir(root.path().join(dir)).unwrap().count(), 0, "{dir}");
        }
    }
}
