//! One server in a temporary directory. Does by hand what the guard does: runs the commands, makes `standby.signal`, promotes.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    future::Future,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tanist_engine::{Endpoint, Epoch, Moment, Postgres, Running, SyncNames, Upstream};
use tanist_postgres::{
    Command, Credentials, OnDisk, Prober, ServerConfig, Settings, Started, Work, bootstrap, configure, layout, plan,
};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

pub const LIMIT: Duration = Duration::from_secs(20);
const STARTED: Started = Started { since: Moment::ZERO, as_primary: true };

pub struct Node {
    pub settings: Arc<Settings>,
    pub prober: Prober,
    pub child: Option<Child>,
    _dir: TempDir,
}

impl Node {
    /// Nothing yet but directories and a free port on `127.0.9.<host>`.
    pub fn new(name: &str, host: u8, parameters: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("tanist-pg-").tempdir_in("/tmp").unwrap();
        let address = format!("127.0.9.{host}");
        let second = format!("127.0.10.{host}");
        let port = TcpListener::bind((address.as_str(), 0)).unwrap().local_addr().unwrap().port();
        let user = |name: &str| Credentials { username: name.into(), password: Some(format!("{name}: it's \\ secret")) };
        let data_dir = dir.path().join("data");
        let state_dir = dir.path().join("state");
        fs::create_dir(&state_dir).unwrap();
        let mut all: BTreeMap<String, String> = parameters.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        all.entry("shared_buffers".into()).or_insert("8MB".into());
        let settings = Settings {
            bin_dir: "/usr/lib/postgresql/15/bin".into(),
            config_dir: data_dir.clone(),
            pgpass: state_dir.join("pgpass"),
            socket_dir: dir.path().to_owned(),
            data_dir,
            state_dir,
            connect: Endpoint { host: address.clone(), port },
            listen_addresses: vec![address, second],
            port,
            scope: "it's a test".into(),
            name: name.into(),
            superuser: user("postgres"),
            replication: user("replicator"),
            rewind: Some(user("rewind \"user\"")),
            initdb_options: vec!["data-checksums".into(), "encoding=UTF8".into(), "no-sync".into(), "auth=scram-sha-256".into()],
            basebackup_options: vec!["no-sync".into()],
            parameters: all,
            slot: None,
            pg_hba: ["local all all scram-sha-256", "host all all 127.0.0.0/8 scram-sha-256"]
                .into_iter()
                .chain(["host replication replicator 127.0.0.0/8 scram-sha-256"])
                .map(str::to_owned)
                .collect(),
            pg_ident: Vec::new(),
            synchronous: true,
        };
        settings.validate().unwrap();
        let settings = Arc::new(settings);
        Self { prober: Prober::new(Arc::clone(&settings), LIMIT), settings, child: None, _dir: dir }
    }

    /// A new cluster, running as primary, with its users, and with nobody to wait for.
    pub async fn primary(name: &str, host: u8, parameters: &[(&str, &str)]) -> Self {
        let mut node = Self::new(name, host, parameters);
        node.initdb();
        node.start(ServerConfig::Primary, &SyncNames::Nobody).await;
        node.running("the new primary", |_| true).await;
        bootstrap::users(&node.settings, LIMIT).await.unwrap();
        node
    }

    pub fn initdb(&self) {
        layout::begin_work(&self.settings, Work::Bootstrap).unwrap();
        let command = plan::initdb(&self.settings).unwrap();
        command.prepare().unwrap();
        let status = spawn(&command).wait().unwrap();
        command.clean_up().unwrap();
        assert!(status.success(), "{}", self.log(&command));
        layout::end_work(&self.settings).unwrap();
    }

    /// Copies another node and starts as its standby.
    pub async fn standby_of(name: &str, host: u8, other: &Node, parameters: &[(&str, &str)]) -> Self {
        let mut node = Self::new(name, host, parameters);
        let upstream = other.upstream(1);
        node.clone_from(&upstream);
        node.start(ServerConfig::Standby { upstream: Some(&upstream) }, &SyncNames::Reserved).await;
        node
    }

    pub fn clone_from(&self, upstream: &Upstream) {
        let mark = layout::begin_work(&self.settings, Work::Clone).unwrap();
        configure::write_pgpass(&self.settings, &upstream.endpoint).unwrap();
        let command = plan::basebackup(&self.settings, upstream, &mark).unwrap();
        let status = spawn(&command).wait().unwrap();
        assert!(status.success(), "{}", self.log(&command));
        let progress = tanist_postgres::progress::read(&command.log_file).unwrap().expect("lines of progress");
        assert!(progress.percent() == 100 && progress.total_kb > 1000, "{progress:?}");
        layout::end_work(&self.settings).unwrap();
    }

    pub fn upstream(&self, epoch: u64) -> Upstream {
        Upstream { name: self.settings.name.clone(), endpoint: self.settings.connect.clone(), epoch: Epoch(epoch) }
    }

    pub async fn on_disk(&self) -> OnDisk {
        layout::inspect(&self.settings, LIMIT).await.unwrap()
    }

    pub async fn start(&mut self, role: ServerConfig<'_>, names: &SyncNames) {
        let OnDisk::Cluster { control, .. } = self.on_disk().await else { panic!("no cluster to start") };
        configure::write_for(&self.settings, role, names).unwrap();
        let standby = matches!(role, ServerConfig::Standby { .. });
        let signal = self.settings.data_dir.join("standby.signal");
        if standby {
            File::create(signal).unwrap();
        } else {
            let _ = fs::remove_file(signal);
        }
        plan::check_listen(&self.settings).unwrap();
        let command = plan::postgres(&self.settings, &control, standby).unwrap();
        self.child = Some(spawn(&command));
        self.prober.gone();
    }

    /// As the guard promotes: the file, then the signal.
    pub fn promote(&self) {
        File::create(self.settings.data_dir.join("promote")).unwrap();
        self.signal(Signal::USR1);
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("a running server"))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Stops the server by this signal and reaps it.
    pub fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        let mut child = self.child.take().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.prober.gone();
    }

    pub async fn look(&mut self) -> Postgres {
        self.prober.look(Moment::ZERO, STARTED).await
    }

    /// Looks until the server runs and the condition holds.
    pub async fn running(&mut self, what: &str, condition: impl Fn(&Running) -> bool) -> Running {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let seen = self.look().await;
            match seen {
                Postgres::Running(running) if condition(&running) => return running,
                _ => {}
            }
            let late = Instant::now() > deadline;
            assert!(!late, "{what}: {seen:?} {:?}\n{}", self.prober.error(), self.server_log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A client of the database.
    pub async fn client(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.settings.socket_dir).port(self.settings.port).user("postgres").dbname("postgres");
        config.password(self.settings.superuser.password.as_ref().unwrap());
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub fn server_log(&self) -> String {
        tail(&self.settings.state_dir.join("postgres.log"))
    }

    fn log(&self, command: &Command) -> String {
        tail(&command.log_file)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_child(&child);
        let _ = kill_process(pid, Signal::CONT);
        let _ = kill_process(pid, Signal::QUIT);
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Runs a planned command as the guard would, in a group of its own.
pub fn spawn(command: &Command) -> Child {
    let log = File::options().create(true).append(true).open(&command.log_file).unwrap();
    std::process::Command::new(&command.program)
        .args(&command.argv[1..])
        .env_clear()
        .envs(command.env.iter().map(|(key, value)| (key, value)))
        .current_dir(&command.cwd)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Kills a planned command and what it has started, and waits until nothing works in its data directory any more.
pub fn kill_group(mut child: Child, data_dir: &Path) {
    kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    let busy = || tanist_tests::process::working_in(data_dir);
    tanist_tests::wait::until("the killed group has ended", LIMIT, || {
        if busy().is_empty() { Ok(()) } else { Err(format!("{:?}", busy())) }
    });
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Waits for a condition, with a deadline.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
