//! Debian's etcd as a process of its own, in the shapes the tests need: several members, TLS, a login, a small quota.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tanist_dcs::{
    Store, StoreError,
    etcd::{Access, EtcdStore},
};

/// How the members are started, beside the usual.
#[derive(Default)]
pub struct Setup {
    /// Clients speak TLS.
    pub tls: bool,
    /// Further arguments of etcd.
    pub arguments: Vec<String>,
    /// What etcdctl needs to get in.
    pub ctl: Vec<String>,
}

/// A store over these endpoints, without TLS and login.
pub fn open(endpoints: Vec<String>) -> Result<EtcdStore, StoreError> {
    EtcdStore::new(Access { endpoints, ..Access::default() })
}

/// Debian's etcd: one or several members of one cluster.
pub struct Etcd {
    pub members: Vec<EtcdMember>,
    pub setup: Setup,
    directory: tempfile::TempDir,
}

pub struct EtcdMember {
    pub client_url: String,
    peer_url: String,
    name: String,
    child: Option<Child>,
}

const ETCD: &str = "/usr/bin/etcd";

fn free_url(scheme: &str) -> String {
    let listener = TcpListener::bind(("127.0.77.1", 0)).expect("a free port");
    format!("{scheme}://{}", listener.local_addr().expect("an address"))
}

impl Etcd {
    /// Members without TLS and login, that answer.
    pub async fn start(size: usize) -> Self {
        let etcd = Self::with(size, Setup::default());
        let store = etcd.connect().await;
        let begun = Instant::now();
        while let Err(error) = store.list("/", Duration::from_secs(1)).await {
            assert!(begun.elapsed() < Duration::from_secs(60), "etcd does not answer: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        etcd
    }

    /// Starts members; waits for nothing.
    pub fn with(size: usize, setup: Setup) -> Self {
        assert!(Path::new(ETCD).exists(), "{ETCD} is missing: apt-get install etcd-server");
        let scheme = if setup.tls { "https" } else { "http" };
        let members = (0..size)
            .map(|number| EtcdMember {
                client_url: free_url(scheme),
                peer_url: free_url("http"),
                name: format!("m{number}"),
                child: None,
            })
            .collect();
        let mut etcd = Self { members, setup, directory: tempfile::tempdir().expect("a directory") };
        for number in 0..size {
            etcd.go(number);
        }
        etcd
    }

    /// Starts one member (again, on its old data).
    pub fn go(&mut self, number: usize) {
        let cluster: Vec<_> = self.members.iter().map(|member| format!("{}={}", member.name, member.peer_url)).collect();
        let directory = self.directory.path().to_owned();
        let member = &mut self.members[number];
        let child = Command::new(ETCD)
            .env_clear()
            .args(["--name", &member.name, "--data-dir"])
            .arg(directory.join(&member.name))
            .args(["--listen-client-urls", &member.client_url, "--advertise-client-urls", &member.client_url])
            .args(["--listen-peer-urls", &member.peer_url, "--initial-advertise-peer-urls", &member.peer_url])
            .args(["--initial-cluster", &cluster.join(","), "--logger", "zap", "--log-level", "error"])
            .args(&self.setup.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        member.child = Some(child);
    }

    /// kill -9 of one member.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.members[number].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal to one member.
    pub fn signal(&self, number: usize, signal: &str) {
        let pid = self.members[number].child.as_ref().expect("a running member").id();
        let done = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill runs");
        assert!(done.success(), "kill {signal} {pid}");
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client_url.clone()).collect()
    }

    pub async fn connect(&self) -> Arc<dyn Store> {
        Arc::new(open(self.endpoints()).expect("endpoints"))
    }

    /// Which member leads, as any of them says.
    pub fn leader(&self) -> usize {
        self.leader_but(usize::MAX)
    }

    /// Which member leads, as any but this one says.
    pub fn leader_but(&self, silent: usize) -> usize {
        let begun = Instant::now();
        loop {
            for (number, member) in
                self.members.iter().enumerate().filter(|(number, member)| *number != silent && member.child.is_some())
            {
                let output = Command::new("/usr/bin/etcdctl")
                    .env("ETCDCTL_API", "3")
                    .args(["--endpoints", &member.client_url, "--command-timeout", "1s", "endpoint", "status"])
                    .output()
                    .expect("etcdctl runs");
                // Endpoint, id, version, size, "is leader", ...
                if String::from_utf8_lossy(&output.stdout).split(", ").nth(4) == Some("true") {
                    return number;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no member leads");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs etcdctl against the first member.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.try_ctl(arguments);
        assert!(output.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, when it may fail.
    pub fn try_ctl(&self, arguments: &[&str]) -> Output {
        Command::new("/usr/bin/etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.members[0].client_url, "--command-timeout", "10s"])
            .args(&self.setup.ctl)
            .args(arguments)
            .output()
            .expect("etcdctl runs")
    }

    /// A place for the files of a test.
    pub fn place(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for number in 0..self.members.len() {
            self.kill(number);
        }
    }
}
