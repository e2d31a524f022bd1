//! The store of a test cluster: the embedded one, or a real etcd. All are ordinary processes that can be killed and started again.

use crate::{
    certificates::Authorities,
    net::{Inside, within},
    place::{self, Place},
    process, wait,
};
use rustix::process::Signal;
use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Which store a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `tanist dcs` on a Unix socket.
    Local,
    /// etcd from Debian's package: one member on loopback, one on each host of a network.
    Etcd,
}

/// A running store.
pub struct Store {
    /// Which.
    pub kind: Kind,
    /// Its processes.
    pub members: Vec<Member>,
}

/// One process of a store.
pub struct Member {
    kind: Kind,
    name: String,
    inside: Option<Inside>,
    directory: PathBuf,
    client: SocketAddr,
    peer: SocketAddr,
    /// etcd's `--initial-cluster`.
    cluster: String,
    /// Clients speak TLS and show a certificate; of which authority.
    tls: Option<Authorities>,
    child: Option<Child>,
}

impl Store {
    /// Starts it and waits until it answers.
    pub fn start(kind: Kind, place: &Place) -> Self {
        let members = if place.is_networked() { ensemble(place) } else { vec![Member::alone(kind, place)] };
        let mut store = Self { kind, members };
        store.up();
        store
    }

    /// The Unix socket of the embedded store.
    pub fn socket(&self) -> PathBuf {
        self.members[0].socket()
    }

    /// The client address of etcd's first member, `host:port`.
    pub fn client(&self) -> String {
        self.members[0].client.to_string()
    }

    /// The client addresses of all members.
    pub fn clients(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.to_string()).collect()
    }

    /// The same as addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.client).collect()
    }

    /// Its logs, for a failing test.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.members.iter().map(Member::log).collect()
    }

    /// Starts every member that does not run, and waits until all answer.
    pub fn up(&mut self) {
        for member in &mut self.members {
            member.spawn();
        }
        wait::until("the store answers", Duration::from_secs(20), || self.members.iter().try_for_each(Member::answers));
    }

    /// Starts etcd's only member anew with TLS: it shows `server` and takes clients whose certificates `ours` has signed.
    pub fn secure(&mut self, files: &Authorities) {
        self.down();
        self.members[0].tls = Some(files.clone());
        self.up();
    }

    /// Kills all of it; what it had made durable stays.
    pub fn down(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    /// The value of a key in etcd, as bytes; empty where there is none.
    pub fn get(&self, key: &str) -> Vec<u8> {
        let mut value = etcdctl(&["--endpoints", &self.client(), "get", "--print-value-only", key]);
        value.pop();
        value
    }

    /// A backup of etcd, as operators make it.
    pub fn backup(&self, file: &Path) {
        etcdctl(&["--endpoints", &self.client(), "snapshot", "save", &file.display().to_string()]);
        place::open_to_all(file);
    }

    /// Puts a backup in the place of what the only member had, which is down.
    pub fn restore(&mut self, file: &Path) {
        let [member] = &self.members[..] else { panic!("one member") };
        assert!(member.child.is_none(), "the store is down");
        let data = member.directory.join("etcd");
        std::fs::remove_dir_all(&data).expect("the old data");
        let (file, data) = (file.display().to_string(), data.display().to_string());
        let peer = format!("http://{}", member.peer);
        etcdctl(&[
            "snapshot",
            "restore",
            &file,
            "--data-dir",
            &data,
            "--name",
            &member.name,
            "--initial-cluster",
            &member.cluster,
            "--initial-advertise-peer-urls",
            &peer,
        ]);
        place::give_to_database_user(&member.directory);
    }

    /// The index of etcd's leader.
    pub fn leader(&self) -> usize {
        wait::until("the store has a leader", Duration::from_secs(20), || {
            self.members.iter().position(|member| member.leads() == Ok(true)).ok_or_else(|| "none".into())
        })
    }

    /// Moves etcd's leadership to one of its members, by `etcdctl` as an operator would.
    pub fn lead(&self, index: usize) {
        let leader = self.leader();
        if leader == index {
            return;
        }
        let status = self.members[index].ctl(&["endpoint", "status", "-w", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let member = status[0]["Status"]["header"]["member_id"].as_u64().expect("a member id");
        self.members[leader].ctl(&["move-leader", &format!("{member:x}")]);
        wait::until("etcd's leader has moved", Duration::from_secs(20), || match self.leader() {
            found if found == index => Ok(()),
            found => Err(format!("member {found}")),
        });
    }
}

fn etcdctl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("etcdctl").env("ETCDCTL_API", "3").args(arguments).output().expect("etcdctl runs");
    assert!(output.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// One etcd member on each of three hosts.
fn ensemble(place: &Place) -> Vec<Member> {
    let peers: Vec<String> = (1..=3).map(|host| format!("e{host}=http://{}:2380", place.address(host))).collect();
    let member = |host: u8| Member {
        kind: Kind::Etcd,
        name: format!("e{host}"),
        inside: place.inside(host),
        directory: made(place, &format!("store{host}")),
        client: (place.address(host), 2379).into(),
        peer: (place.address(host), 2380).into(),
        cluster: peers.join(","),
        tls: None,
        child: None,
    };
    (1..=3).map(member).collect()
}

fn made(place: &Place, name: &str) -> PathBuf {
    let directory = place.path().join(name);
    std::fs::create_dir_all(&directory).expect("the store's directory");
    place::give_to_database_user(&directory);
    directory
}

impl Member {
    /// The only one, on loopback.
    fn alone(kind: Kind, place: &Place) -> Self {
        let host = place.address(9);
        let peer = SocketAddr::from((host, place.free_port()));
        Self {
            kind,
            name: "e1".into(),
            inside: None,
            directory: made(place, "store"),
            client: (host, place.free_port()).into(),
            peer,
            cluster: format!("e1=http://{peer}"),
            tls: None,
            child: None,
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("dcs.sock")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("the member runs").id().cast_signed()
    }

    /// Starts it, where it does not run. Does not wait.
    pub fn spawn(&mut self) {
        if self.child.is_some() {
            return;
        }
        let log = File::options().create(true).append(true).open(self.log()).expect("the store's log");
        let mut command = within(self.inside.as_ref(), self.command());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error} (scripts/need etcd)")));
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::signal(child.id().cast_signed(), Signal::KILL);
            child.wait().expect("the store ends");
        }
    }

    fn command(&self) -> Command {
        match self.kind {
            Kind::Local => {
                let mut command = place::as_database_user(&place::programs().join("tanist"));
                command.arg("dcs").arg("--socket").arg(self.socket()).arg("--state").arg(self.directory.join("state"));
                command
            }
            Kind::Etcd => {
                let mut command = place::as_database_user(Path::new("/usr/bin/etcd"));
                // A member that was cut off and comes back must not unseat the leader: with etcd 3.4 that is not the default.
                command
                    .args(["--name", &self.name, "--log-level", "warn", "--pre-vote", "--data-dir"])
                    .arg(self.directory.join("etcd"));
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                command.args(["--listen-client-urls", &format!("{scheme}://{}", self.client)]);
                command.args(["--advertise-client-urls", &format!("{scheme}://{}", self.client)]);
                if let Some(files) = &self.tls {
                    command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(files.path("ours.crt"));
                    command.arg("--cert-file").arg(files.path("server.crt")).arg("--key-file").arg(files.path("server.key"));
                }
                command.args(["--listen-peer-urls", &format!("http://{}", self.peer)]);
                command.args(["--initial-advertise-peer-urls", &format!("http://{}", self.peer)]);
                command.args(["--initial-cluster", &self.cluster]);
                command
            }
        }
    }

    fn answers(&self) -> Result<(), String> {
        match self.kind {
            Kind::Local => UnixStream::connect(self.socket()).map(drop).map_err(|error| error.to_string()),
            Kind::Etcd => {
                TcpStream::connect_timeout(&self.client, Duration::from_secs(1)).map_err(|error| error.to_string())?;
                if self.tls.is_some() {
                    return Ok(());
                }
                match crate::rest::request("GET", self.client, "/health", "") {
                    Ok((200, body)) if body.contains("true") => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            }
        }
    }

    /// What `etcdctl` says, asked of this member of etcd. It succeeds.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.client)).args(arguments);
        let output = command.output().expect("etcdctl runs (scripts/need etcd)");
        assert!(output.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether it is etcd's leader, by its own word (etcd documentation, "Metrics").
    fn leads(&self) -> Result<bool, String> {
        let (_, body) = crate::rest::request("GET", self.client, "/metrics", "")?;
        Ok(body.lines().any(|line| line == "etcd_server_is_leader 1"))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
