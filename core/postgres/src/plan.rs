//! Command lines for the guard. Nothing is run here.

use crate::{ControlData, Mark, Settings, configure::COMMAND_LINE, conninfo, tablespaces};
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
///
/// The label says whose work it is, in the first file that the program makes; of several labels pg_basebackup takes the last.
pub fn basebackup(settings: &Settings, from: &Upstream, mark: &Mark) -> Result<Command, PlanError> {
    let mut command = Command::new(settings, settings.program("pg_basebackup"), "basebackup.log")?;
    command.argv.extend(["-D".to_owned(), text(&settings.data_dir)?, "-X".to_owned(), "stream".to_owned()]);
    command.argv.extend(["--checkpoint=fast", "--progress", "--no-password"].map(str::to_owned));
    command.argv.extend(settings.basebackup_options.iter().map(|option| format!("--{option}")));
    command.argv.push(format!("--label={}", mark.label()));
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
    if settings.restores() {
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

/// Empties the data directory, the WAL directory and the tablespaces that it points at or the mark knows, one after the other, and keeps
/// the directories themselves, which may be mount points. Of a tablespace's location only what servers have made in it goes. Nothing: no
/// directory is there.
pub fn empty_data_dir(settings: &Settings, mark: &Mark) -> Result<Vec<Command>, PlanError> {
    let file = |path: &Path, error| PlanError::File { path: path.to_owned(), error };
    let mut commands = Vec::new();
    let noted = mark.spaces.iter().filter_map(|space| fs::canonicalize(space).ok());
    let mut spaces: Vec<PathBuf> = noted.flat_map(|space| tablespaces::within(&space, None)).collect();
    if !settings.data_dir.try_exists().map_err(|error| file(&settings.data_dir, error))? {
        delete(settings, &spaces, &[], &mut commands)?;
        return Ok(commands);
    }
    // find does not follow a link that it is given.
    let data_dir = fs::canonicalize(&settings.data_dir).map_err(|error| file(&settings.data_dir, error))?;
    let major = fs::read_to_string(data_dir.join("PG_VERSION")).ok().and_then(|version| version.trim().parse().ok());
    let links = fs::read_dir(data_dir.join("pg_tblspc")).into_iter().flatten().flatten().map(|entry| entry.path());
    spaces.extend(links.filter_map(|link| target(&link)).flat_map(|location| tablespaces::within(&location, major)));
    spaces.sort();
    spaces.dedup();
    delete(settings, &spaces, &[], &mut commands)?;
    let wal = target(&data_dir.join("pg_wal"));
    // Last the directory that knows the others: interrupted, the next attempt finds them again.
    let roots: Vec<PathBuf> = wal.into_iter().chain([data_dir]).collect();
    delete(settings, &roots, &["-mindepth", "1"], &mut commands)?;
    Ok(commands)
}

/// Where a link leads.
fn target(link: &Path) -> Option<PathBuf> {
    if link.is_symlink() { fs::canonicalize(link).ok() } else { None }
}

fn delete(settings: &Settings, roots: &[PathBuf], within: &[&str], commands: &mut Vec<Command>) -> Result<(), PlanError> {
    if roots.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(settings, "/usr/bin/find".into(), "empty.log")?;
    for root in roots {
        command.argv.push(text(root)?);
    }
    command.argv.extend(within.iter().chain(&["-delete"]).map(|&word| word.to_owned()));
    commands.push(command);
    Ok(())
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
        parameters.extend(raised(settings, control));
    }
    command.argv.extend(parameters.into_iter().map(|(key, value)| format!("--{key}={value}")));
    Ok(command)
}

/// Whether the server will be able to listen: a message that names address and remedy, before a start that would fail with one
/// line in PostgreSQL's log. To be asked while no server of ours runs. What is wrong with single addresses is returned.
///
/// A port in use is an error always. An address that this machine does not have (one that moves between machines, `localhost` without IPv6)
/// and a name that is not known are none, as for PostgreSQL, as long as there is another address.
pub fn check_listen(settings: &Settings) -> Result<Vec<PlanError>, PlanError> {
    let socket = settings.socket_path();
    if UnixStream::connect(&socket).is_ok() {
        return Err(PlanError::Socket(socket));
    }
    let mut usable = false;
    let mut failed = Vec::new();
    for host in &settings.listen_addresses {
        let name = if host == "*" { "0.0.0.0" } else { host.as_str() };
        let (mut bound, mut refused) = (false, None);
        match (name, settings.port).to_socket_addrs() {
            Err(error) => refused = Some(PlanError::Resolve { host: host.clone(), error }),
            Ok(addresses) => {
                for address in addresses {
                    match TcpListener::bind(address) {
                        Ok(_) => bound = true,
                        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                            return Err(PlanError::Listen { address, error });
                        }
                        Err(error) => refused = Some(PlanError::Listen { address, error }),
                    }
                }
            }
        }
        usable |= bound;
        failed.extend(refused.filter(|_| !bound));
    }
    if usable || failed.is_empty() { Ok(failed) } else { Err(failed.swap_remove(0)) }
}

/// The agent's environment without what would change the meaning of libpq programs, and without our own secrets. It is kept
/// because archive and restore commands get their credentials this way.
pub(crate) fn environment() -> Vec<(String, String)> {
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

/// Parameters that a standby gets more of than the operator wants, because its primary had as much when it wrote the WAL.
pub fn raised(settings: &Settings, control: &ControlData) -> BTreeMap<&'static str, String> {
    let fixed = crate::configure::fixed_parameters(settings).into_iter();
    let low = fixed.filter_map(|(key, value)| {
        let minimum = *control.minimum_settings.get(key)?;
        value.parse::<u32>().is_ok_and(|value| value < minimum).then(|| (key, minimum.to_string()))
    });
    low.collect()
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

    fn mark() -> Mark {
        Mark::new(Path::new("/nowhere"), crate::Work::Clone, Vec::new()).unwrap()
    }

    #[test]
    fn the_label_of_a_copy_is_ours_whatever_is_asked_for() {
        let settings = Settings { basebackup_options: vec!["label=mine".into()], ..sample() };
        let from = Upstream { name: "b".into(), endpoint: Endpoint { host: "h".into(), port: 1 }, epoch: Epoch(1) };
        let mark = mark();
        let argv = basebackup(&settings, &from, &mark).unwrap().argv;
        let last = argv.iter().rfind(|word| word.starts_with("--label"));
        assert_eq!(last, Some(&format!("--label={}", mark.label())));
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
        for command in
            [initdb(&settings), basebackup(&settings, &from, &mark()), rewind(&settings, &from, 15, true)].map(Result::unwrap)
        {
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
    fn one_address_is_enough() {
        let port = TcpListener::bind("127.0.9.3:0").unwrap().local_addr().unwrap().port();
        let hosts =
            |hosts: &[&str]| Settings { listen_addresses: hosts.iter().map(|&host| host.into()).collect(), port, ..sample() };
        // Documentation's network: no machine has it.
        let failed = check_listen(&hosts(&["192.0.2.1", "127.0.9.3", "no-such-host.invalid"])).unwrap();
        let said: Vec<String> = failed.iter().map(ToString::to_string).collect();
        assert!(
            said.len() == 2 && said[0].starts_with("listen address 192.0.2.1:") && said[1].contains("no-such-host"),
            "{said:?}"
        );
        assert!(check_listen(&hosts(&["192.0.2.1"])).unwrap_err().to_string().starts_with("listen address 192.0.2.1:"));
        let taken = TcpListener::bind(("127.0.9.3", port)).unwrap();
        assert!(check_listen(&hosts(&["127.0.9.4", "127.0.9.3"])).is_err(), "in use is an error beside any other");
        drop(taken);
    }

    /// Runs them as the guard would; what is left of each directory.
    fn emptied(settings: &Settings, mark: &Mark, dirs: &[PathBuf]) -> Vec<usize> {
        for command in empty_data_dir(settings, mark).unwrap() {
            let status = std::process::Command::new(&command.program).args(&command.argv[1..]).status().unwrap();
            assert!(status.success());
        }
        dirs.iter().map(|dir| fs::read_dir(dir).unwrap().count()).collect()
    }

    #[test]
    fn tablespaces_and_wal_are_emptied_too() {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: root.path().join("link"), ..sample() };
        assert_eq!(empty_data_dir(&settings, &mark()).unwrap(), []);
        let dirs = ["data", "space", "noted", "wal"].map(|name| root.path().join(name));
        for dir in ["data/pg_tblspc", "space/PG_15_1/5", "space/PG_14_1", "noted/PG_15_1", "noted/other", "wal"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        for (to, from) in [("data", "link"), ("space", "data/pg_tblspc/16384"), ("wal", "data/pg_wal")] {
            std::os::unix::fs::symlink(root.path().join(to), root.path().join(from)).unwrap();
        }
        for file in ["data/PG_VERSION", "space/PG_15_1/5/x", "wal/x"] {
            fs::write(root.path().join(file), "15\n").unwrap();
        }
        let mut mark = mark();
        mark.spaces.push(dirs[2].clone());
        assert_eq!(emptied(&settings, &mark, &dirs), [0, 1, 1, 0], "another version's, and what no server has made, stays");
        // Without anything that leads there but the mark.
        fs::create_dir(dirs[2].join("PG_15_1")).unwrap();
        fs::remove_file(&settings.data_dir).unwrap();
        assert_eq!(emptied(&settings, &mark, &dirs), [0, 1, 1, 0]);
    }
}
