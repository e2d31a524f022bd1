//! Real stores for the tests: a server of the embedded store, and Debian's etcd, each on its own, gone when dropped.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tanist_dcs::{Store, etcd::EtcdStore, local};
use tokio::{sync::oneshot, task::JoinHandle};

/// Reasonable for anything that takes no time.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server of the embedded store in this process.
pub struct Local {
    pub socket: PathBuf,
    pub file: Option<PathBuf>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), local::ServeError>>>,
    directory: tempfile::TempDir,
}

impl Local {
    pub fn start(on_disk: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("dcs.sock");
        let file = on_disk.then(|| directory.path().join("state"));
        let mut local = Self { socket, file, stop: None, task: None, directory };
        local.go();
        local
    }

    pub fn go(&mut self) {
        let server = local::Server::bind(&self.socket, self.file.as_deref()).expect("the embedded store starts");
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        self.task = Some(tokio::spawn(server.run(async {
            let _ = stopped.await;
        })));
    }

    /// Stops in order; connections end.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        self.task.take().expect("a running server").await.expect("no panic").expect("a clean end");
    }

    pub fn connect(&self) -> Arc<dyn Store> {
        Arc::new(local::LocalStore::new(&self.socket))
    }
}

/// Debian's etcd: one or several members of one cluster.
pub struct Etcd {
    pub members: Vec<EtcdMember>,
    directory: tempfile::TempDir,
}

pub struct EtcdMember {
    pub client_url: String,
    peer_url: String,
    name: String,
    child: Option<Child>,
}

const ETCD: &str = "/usr/bin/etcd";

fn free_url(at: &str) -> String {
    let listener = TcpListener::bind((at, 0)).expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

impl Etcd {
    pub async fn start(size: usize) -> Self {
        assert!(Path::new(ETCD).exists(), "{ETCD} is missing: apt-get install etcd-server");
        let members = (0..size)
            .map(|number| EtcdMember {
                client_url: free_url("127.0.77.1"),
                peer_url: free_url("127.0.77.1"),
                name: format!("m{number}"),
                child: None,
            })
            .collect();
        let mut etcd = Self { members, directory: tempfile::tempdir().expect("a directory") };
        for number in 0..size {
            etcd.go(number);
        }
        let store = etcd.connect().await;
        let begun = Instant::now();
        while let Err(error) = store.list("/", Duration::from_secs(1)).await {
            assert!(begun.elapsed() < Duration::from_secs(60), "etcd does not answer: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
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
        Arc::new(EtcdStore::new(&self.endpoints()).await.expect("endpoints"))
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
        let output = Command::new("/usr/bin/etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.members[0].client_url])
            .args(arguments)
            .output()
            .expect("etcdctl runs");
        assert!(output.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for number in 0..self.members.len() {
            self.kill(number);
        }
    }
}

/// Waits for a condition.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
