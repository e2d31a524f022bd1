//! The store of a test cluster: the embedded one, or a real etcd. Both are ordinary processes that can be killed and started again.

use crate::{
    place::{self, Place},
    process, wait,
};
use std::{
    fs::File,
    net::TcpStream,
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
    /// One etcd member from Debian's package.
    Etcd,
}

/// A running store.
pub struct Store {
    /// Which.
    pub kind: Kind,
    directory: PathBuf,
    client: String,
    peer: String,
    child: Option<Child>,
}

impl Store {
    /// Starts it and waits until it answers.
    pub fn start(kind: Kind, place: &Place) -> Self {
        let directory = place.path().join("store");
        std::fs::create_dir_all(&directory).expect("the store's directory");
        place::give_to_database_user(&directory);
        let host = place.address(9);
        let client = format!("{host}:{}", place.free_port());
        let peer = format!("{host}:{}", place.free_port());
        let mut store = Self { kind, directory, client, peer, child: None };
        store.up();
        store
    }

    /// The Unix socket of the embedded store.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("dcs.sock")
    }

    /// etcd's client address, `host:port`.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Its log, for a failing test.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Starts it again after `down`.
    pub fn up(&mut self) {
        assert!(self.child.is_none(), "the store runs already");
        let log = File::options().create(true).append(true).open(self.log()).expect("the store's log");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error} (scripts/need etcd)")));
        wait::until("the store answers", Duration::from_secs(20), || self.answers());
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
                command.args(["--name", "e1", "--log-level", "warn", "--data-dir"]).arg(self.directory.join("etcd"));
                command.args(["--listen-client-urls", &format!("http://{}", self.client)]);
                command.args(["--advertise-client-urls", &format!("http://{}", self.client)]);
                command.args(["--listen-peer-urls", &format!("http://{}", self.peer)]);
                command.args(["--initial-advertise-peer-urls", &format!("http://{}", self.peer)]);
                command.args(["--initial-cluster", &format!("e1=http://{}", self.peer)]);
                command
            }
        }
    }

    fn answers(&self) -> Result<(), String> {
        match self.kind {
            Kind::Local => UnixStream::connect(self.socket()).map(drop).map_err(|error| error.to_string()),
            Kind::Etcd => {
                TcpStream::connect(&self.client).map_err(|error| error.to_string())?;
                let at = self.client.parse().map_err(|_| "address".to_owned())?;
                match crate::rest::request("GET", at, "/health", "") {
                    Ok((200, body)) if body.contains("true") => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            }
        }
    }

    /// Kills it; what it had made durable stays.
    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::signal(child.id().cast_signed(), rustix::process::Signal::KILL);
            child.wait().expect("the store ends");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.down();
    }
}
