//! One node of a test cluster: its configuration, its processes, and ways to hurt it.

use crate::{
    cut::Relay,
    net::{Inside, within},
    place::{self, Place},
    process::{self, Process},
    rest,
    store::{Kind, Store},
};
use rustix::process::Signal;
use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

/// What a test wants different from the ordinary.
#[derive(Clone, Debug)]
pub struct Options {
    /// Lifetime of the lease, seconds.
    pub ttl: u64,
    /// Synchronous mode.
    pub synchronous: bool,
    /// Synchronous mode with a quorum.
    pub quorum: bool,
    /// Lines added under `bootstrap: dcs: postgresql:`, each `name: value`.
    pub postgresql: Vec<String>,
    /// Failsafe mode.
    pub failsafe: bool,
    /// Lines added under `tanist:`, each `name: value`.
    pub tanist: Vec<String>,
    /// Lines added under `postgresql: parameters:`, each `name: value`.
    pub parameters: Vec<String>,
    /// A `plugins:` section, as YAML.
    pub plugins: String,
    /// A `postgresql: callbacks:` script for every event.
    pub callback: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ttl: 5,
            synchronous: true,
            quorum: false,
            failsafe: false,
            postgresql: Vec::new(),
            tanist: Vec::new(),
            parameters: Vec::new(),
            plugins: String::new(),
            callback: None,
        }
    }
}

/// A node.
pub struct Node {
    /// `n1`, `n2`, …
    pub name: String,
    /// Where its PostgreSQL listens.
    pub postgres: SocketAddr,
    /// Where its REST API listens.
    pub rest: SocketAddr,
    /// Where its DNS connection point listens.
    pub dns: SocketAddr,
    inside: Option<Inside>,
    relay: Option<Relay>,
    directory: PathBuf,
    child: Option<Child>,
    environment: Vec<(String, String)>,
}

/// The programs of a node, by pid.
#[derive(Clone, Debug)]
pub struct Pids {
    /// The guard: the service's main process.
    pub guard: i32,
    /// The agent.
    pub agent: i32,
    /// The postmaster; `None` while there is none.
    pub postmaster: Option<i32>,
    /// The plugin host; `None` while there is none.
    pub plugin_host: Option<i32>,
}

impl Node {
    /// Writes its configuration; starts nothing.
    pub fn new(number: u8, place: &Place, store: &Store, options: &Options) -> Self {
        let name = format!("n{number}");
        let host = place.address(number);
        let directory = place.path().join(&name);
        std::fs::create_dir_all(&directory).expect("the node's directory");
        let (relay, store_section) = way_to_store(place, store, number, &directory);
        let node = Self {
            name,
            postgres: (host, place.postgres_port).into(),
            rest: (host, place.rest_port).into(),
            dns: (host, place.dns_port).into(),
            inside: place.inside(number),
            relay,
            directory,
            child: None,
            environment: Vec::new(),
        };
        std::fs::write(node.config(), node.yaml(&store_section, place, options)).expect("the configuration");
        place::give_to_database_user(&node.directory);
        node
    }

    /// Its way to the store, which can be cut.
    ///
    /// # Panics
    /// In a network of its own, where the wire is cut instead.
    pub fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("a node on loopback")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("tanist.yml")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The log of its guard and agent.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Changes its configuration file.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let before = std::fs::read_to_string(self.config()).expect("the configuration");
        let after = change(before.clone());
        assert_ne!(before, after, "the change changes nothing");
        std::fs::write(self.config(), after).expect("the configuration");
    }

    /// Everything its programs have printed up to now.
    pub fn told(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn yaml(&self, store: &str, place: &Place, options: &Options) -> String {
        let (bin, directory) = (place::postgres_bin(), self.directory.display());
        let mut extra = String::new();
        for line in &options.parameters {
            extra += &format!("        {line}\n");
        }
        let dynamic: String = options.postgresql.iter().map(|line| format!("      {line}\n")).collect();
        let mut callbacks = String::new();
        if let Some(script) = &options.callback {
            callbacks = "  callbacks:\n".into();
            for event in ["on_start", "on_stop", "on_restart", "on_reload", "on_role_change"] {
                callbacks += &format!("    {event}: {}\n", script.display());
            }
        }
        format!(
            "scope: e2e\nname: {name}\n\
             restapi:\n  listen: {rest}\n  connect_address: {rest}\n\
             {store}\
             tanist:\n  state_dir: {directory}/state\n{user}{tanist}\
             bootstrap:\n  dcs:\n    ttl: {ttl}\n    loop_wait: 1\n    retry_timeout: 2\n    maximum_lag_on_failover: 1048576\n    \
             synchronous_mode: {synchronous}\n    failsafe_mode: {failsafe}\n    postgresql:\n{dynamic}      parameters:\n        \
             max_connections: 60\n        shared_buffers: 16MB\n        dynamic_shared_memory_type: mmap\n        \
             fsync: 'on'\n{extra}  initdb:\n    - encoding: UTF8\n    - data-checksums\n\
             postgresql:\n  listen: {postgres}\n  connect_address: {postgres}\n  data_dir: {directory}/data\n  bin_dir: {bin}\n  \
             authentication:\n    superuser: {{username: postgres, password: secret}}\n    \
             replication: {{username: replicator, password: replicated}}\n  \
             parameters:\n    unix_socket_directories: {directory}\n  \
             pg_hba:\n    - local all all trust\n    - host all all {addresses} scram-sha-256\n    \
             - host replication replicator {addresses} scram-sha-256\n{callbacks}\
             dns:\n  listen: ['{dns}']\n  zone: db.example\n  ttl: 1\n{plugins}",
            name = self.name,
            rest = self.rest,
            ttl = options.ttl,
            synchronous = if options.quorum { "quorum".to_owned() } else { options.synchronous.to_string() },
            failsafe = options.failsafe,
            postgres = self.postgres,
            bin = bin.display(),
            dns = self.dns,
            plugins = options.plugins,
            addresses = place.addresses(),
            user = if place::is_root() { "  user: postgres\n" } else { "" },
            tanist = options.tanist.iter().map(|line| format!("  {line}\n")).collect::<String>(),
        )
    }

    /// From its next start on its programs have this in their environment.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts `tanist run`.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log()).expect("the node's log");
        let mut command = std::process::Command::new(place::programs().join("tanist"));
        command.arg("run").arg(self.config()).env("RUST_LOG", "info,hickory_server=warn");
        command.current_dir("/").envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut command = within(self.inside.as_ref(), command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        self.child = Some(command.spawn().expect("tanist starts"));
    }

    /// It was started and has not been ended by us.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Its processes.
    pub fn pids(&self) -> Pids {
        let guard = self.child.as_ref().expect("the node runs").id().cast_signed();
        let below = process::tree(guard);
        let child =
            |name: &str| below.iter().find(|process| process.parent == guard && process.name == name).map(|found| found.pid);
        Pids {
            guard,
            agent: child("tanist").unwrap_or(0),
            postmaster: child("postgres"),
            plugin_host: below.iter().find(|process| process.name.starts_with("tanist-plugin")).map(|found| found.pid),
        }
    }

    /// Guard, agent, PostgreSQL and all their children.
    pub fn processes(&self) -> Vec<Process> {
        self.child.as_ref().map_or_else(Vec::new, |child| process::tree(child.id().cast_signed()))
    }

    /// Every PostgreSQL process of this node.
    pub fn postgres_processes(&self) -> Vec<Process> {
        process::working_in(&self.data())
    }

    /// The node is gone: every process at once.
    pub fn kill(&mut self) {
        let all = self.processes();
        for process in &all {
            process::signal(process.pid, Signal::KILL);
        }
        for process in self.postgres_processes() {
            process::signal(process.pid, Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            child.wait().expect("the guard ends");
        }
        crate::wait::until(&format!("{} is gone", self.name), Duration::from_secs(5), || {
            match all.iter().find(|process| process::is_alive(process.pid)) {
                Some(process) => Err(format!("{process:?}")),
                None if self.postgres_processes().is_empty() => Ok(()),
                None => Err("PostgreSQL".into()),
            }
        });
    }

    /// Freezes every process of the node.
    pub fn freeze(&self) -> Vec<Process> {
        let all = self.processes();
        for process in &all {
            process::freeze(process.pid);
        }
        all
    }

    /// Asks the service to end, waits, and gives its exit code.
    pub fn stop(&mut self, limit: Duration) -> Option<i32> {
        let mut child = self.child.take()?;
        process::signal(child.id().cast_signed(), Signal::TERM);
        let status = crate::wait::until(&format!("{} stops", self.name), limit, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        status.code()
    }

    /// Waits for a service that ends by itself, and gives its exit code.
    pub fn ended(&mut self, limit: Duration) -> Option<i32> {
        let mut child = self.child.take().expect("the node runs");
        let status = crate::wait::until(&format!("{} ends", self.name), limit, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        status.code()
    }

    /// `GET path`: the status code, 0 for no answer.
    pub fn get(&self, path: &str) -> u16 {
        rest::status(self.rest, path)
    }

    /// Its view of the cluster.
    pub fn view(&self) -> Result<serde_json::Value, String> {
        rest::json(self.rest, "/patroni")
    }

    /// A server that was killed leaves its segment of shared memory to the next one of its data directory; here there is none. The kernel
    /// has 4096 for all.
    fn remove_shared_memory(&self) {
        let told = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap_or_default();
        // Line 7: key and number.
        if let Some(number) = told.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _gone_already = std::process::Command::new("ipcrm").args(["-m", number]).output();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.child.is_some() {
            for process in self.processes() {
                process::thaw(process.pid);
            }
            self.kill();
        }
        for process in self.postgres_processes() {
            process::signal(process.pid, Signal::KILL);
        }
        self.remove_shared_memory();
    }
}

/// What stands between node `number` and the store, and the configuration section that leads there.
fn way_to_store(place: &Place, store: &Store, number: u8, directory: &std::path::Path) -> (Option<Relay>, String) {
    if place.is_networked() {
        return (None, format!("etcd3:\n  hosts: {:?}\n", store.clients()));
    }
    match store.kind {
        Kind::Local => {
            let socket = directory.join("dcs.sock");
            let relay = Relay::unix(&socket, store.socket());
            (Some(relay), format!("local:\n  socket: {}\n", socket.display()))
        }
        Kind::Etcd => {
            let listener = TcpListener::bind((place.address(100 + number), 0)).expect("a port for the relay");
            let at = listener.local_addr().expect("an address");
            (Some(Relay::tcp(listener, store.client().to_owned())), format!("etcd3:\n  hosts: ['{at}']\n"))
        }
    }
}
