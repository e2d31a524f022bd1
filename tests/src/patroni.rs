//! Patroni from PyPI as its users run it, on the same hosts, PostgreSQL and etcd: the benchmark's other side.
//!
//! Its settings are the fastest it takes (ttl 20, loop_wait 1, retry_timeout 3), failing over at once for a crashed primary, with
//! failsafe mode.

use crate::{
    idle,
    net::{Inside, within},
    patronictl,
    place::{self, Place},
    process, sql,
    store::{Kind, Store},
    subject::Subject,
    wait,
};
use rustix::process::{Pid, Signal, WaitOptions};
use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

/// Three nodes under Patroni. Dropped in order: nodes, store, place.
pub struct Patroni {
    synchronous: bool,
    nodes: Vec<Node>,
    store: Store,
    place: Place,
}

struct Node {
    name: String,
    postgres: SocketAddr,
    rest: SocketAddr,
    inside: Option<Inside>,
    directory: PathBuf,
    child: Option<Child>,
}

impl Patroni {
    /// Starts store and nodes, and waits until the cluster is whole.
    pub fn start(synchronous: bool) -> Self {
        reap_orphans();
        let place = Place::networked(3);
        let store = Store::start(Kind::Etcd, &place);
        let mut nodes: Vec<Node> = (1..=3).map(|number| Node::new(number, &place, &store, synchronous)).collect();
        nodes.iter_mut().for_each(Node::start);
        let cluster = Self { synchronous, nodes, store, place };
        cluster.settle();
        cluster
    }
}

impl Subject for Patroni {
    fn place(&self) -> &Place {
        &self.place
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn databases(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.postgres).collect()
    }

    fn apis(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.rest).collect()
    }

    fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn settle(&self) -> usize {
        wait::until("Patroni's cluster is whole", Duration::from_secs(180), || {
            let primary = self.leader()?;
            let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
            match sql::value(self.nodes[primary].postgres, streaming)? {
                two if two == "2" && self.synchronous => self.standby().map(|_| primary),
                two if two == "2" => Ok(primary),
                count => Err(format!("{count} of 2 stream")),
            }
        })
    }

    fn agent(&self, node: usize) -> i32 {
        self.nodes[node].child.as_ref().expect("the node runs").id().cast_signed()
    }

    fn managers(&self, node: usize) -> Vec<i32> {
        idle::managers_below(self.agent(node))
    }

    fn postmaster(&self, node: usize) -> i32 {
        let file = self.nodes[node].data().join("postmaster.pid");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.lines().next().and_then(|line| line.trim().parse().ok()).expect("a pid")
    }

    fn kill_node(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    fn bring_back(&mut self) {
        for node in &mut self.nodes {
            node.bring_back();
        }
    }

    fn away(&self) -> Duration {
        Duration::from_secs(35)
    }
}

impl Node {
    fn new(number: u8, place: &Place, store: &Store, synchronous: bool) -> Self {
        let name = format!("p{number}");
        let directory = place.path().join(&name);
        std::fs::create_dir_all(&directory).expect("the node's directory");
        let host = place.address(number);
        let node = Self {
            name,
            postgres: (host, place.postgres_port).into(),
            rest: (host, place.rest_port).into(),
            inside: place.inside(number),
            directory,
            child: None,
        };
        std::fs::write(node.directory.join("patroni.yml"), node.yaml(place, store, synchronous)).expect("the configuration");
        place::give_to_database_user(&node.directory);
        node
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn yaml(&self, place: &Place, store: &Store, synchronous: bool) -> String {
        let Self { name, postgres, rest, directory, .. } = self;
        let (bin, directory, addresses) = (place::postgres_bin(), directory.display(), place.addresses());
        format!(
            "scope: bench\nname: {name}\nrestapi:\n  listen: {rest}\n  connect_address: {rest}\netcd3:\n  hosts: {hosts:?}\n\
             bootstrap:\n  dcs:\n    ttl: 20\n    loop_wait: 1\n    retry_timeout: 3\n    maximum_lag_on_failover: 1048576\n    \
             synchronous_mode: {synchronous}\n    primary_start_timeout: 0\n    failsafe_mode: true\n    postgresql:\n      \
             use_pg_rewind: true\n      parameters:\n        max_connections: 60\n        shared_buffers: 16MB\n  \
             initdb:\n    - encoding: UTF8\n    - data-checksums\n\
             postgresql:\n  listen: {postgres}\n  connect_address: {postgres}\n  data_dir: {directory}/data\n  bin_dir: {bin}\n  \
             pgpass: {directory}/pgpass\n  authentication:\n    superuser: {{username: postgres, password: secret}}\n    \
             replication: {{username: replicator, password: replicated}}\n  \
             parameters:\n    unix_socket_directories: {directory}\n  \
             pg_hba:\n    - local all all trust\n    - host all all {addresses} scram-sha-256\n    \
             - host replication replicator {addresses} scram-sha-256\n",
            hosts = store.clients(),
            bin = bin.display(),
        )
    }

    fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.directory.join("log")).expect("the node's log");
        let mut command = patronictl::patroni();
        command.arg(self.directory.join("patroni.yml"));
        let mut command = within(self.inside.as_ref(), command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        self.child = Some(command.spawn().expect("patroni starts"));
    }

    fn bring_back(&mut self) {
        let ended = self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()));
        if ended {
            return self.start();
        }
        let child = self.child.as_ref().expect("it runs").id().cast_signed();
        process::tree(child).iter().chain(&process::working_in(&self.data())).for_each(|process| process::thaw(process.pid));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let all = process::tree(child.id().cast_signed());
            all.iter().for_each(|process| process::signal(process.pid, Signal::KILL));
            child.wait().expect("patroni ends");
        }
        for process in process::working_in(&self.data()) {
            process::signal(process.pid, Signal::KILL);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Patroni's postmasters are orphans by design, and the first process of a container may be slow to reap them: a dead one would look
/// alive to Patroni for seconds. So they become this process's, and are reaped at once.
fn reap_orphans() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        std::thread::spawn(|| {
            let me = rustix::process::getpid().as_raw_nonzero().get();
            loop {
                let dead =
                    |process: &process::Process| process.parent == me && process.state == 'Z' && process.name == "postgres";
                for process in process::all().into_iter().filter(dead) {
                    // Reaped by somebody else: nothing is left to do.
                    let _reaped = rustix::process::waitpid(Pid::from_raw(process.pid), WaitOptions::NOHANG);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    });
}
