//! A private BIND: a copy of the binary (a security policy may be bound to its path) with a configuration and a zone of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tanist_dns::update::{self, Algorithm, TsigKey};
use tempfile::TempDir;

/// BIND listens on addresses of interfaces only; of 127.0.0.0/8 that is this one.
pub const IP: &str = "127.0.0.1";
pub const ZONE: &str = "db.test";
pub const SECRET: &str = "c2VjcmV0LW9mLXRoZS1jb25uZWN0aW9uLXBvaW50LXRlc3Q=";
const NAMED: &str = "/usr/sbin/named";

pub struct Bind {
    pub address: SocketAddr,
    process: Child,
    directory: TempDir,
}

impl Bind {
    /// Starts it on a free port and waits until it answers.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// As `start`, with more records in the zone.
    pub async fn with(more: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("tanist-named-").tempdir_in("/tmp").unwrap();
        let path = directory.path();
        let named = path.join("tanist-test-named");
        // By a process of its own: a descriptor open for writing here would be inherited by what other tests start, and the copy be busy.
        let copied = Command::new("cp").arg(NAMED).arg(&named).status().unwrap();
        assert!(copied.success(), "named is needed: apt-get install bind9");
        let address = free(IP);
        let records =
            format!("$TTL 60\n@ SOA ns.{ZONE}. root.{ZONE}. 1 60 60 600 5\n@ NS ns.{ZONE}.\nns A {IP}\nalias CNAME ns\n{more}");
        fs::write(path.join("zone"), records).unwrap();
        fs::write(path.join("named.conf"), configuration(&path.display().to_string(), address)).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let mut command = Command::new(named);
        command.args(["-g", "-n", "1", "-c"]).arg(path.join("named.conf")).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut bind = Self { address, process, directory };
        let begin = Instant::now();
        while update::lookup(address, &format!("ns.{ZONE}"), Duration::from_secs(1)).await.is_err() {
            let ended = bind.process.try_wait().unwrap();
            assert!(ended.is_none() && begin.elapsed() < Duration::from_secs(30), "named does not answer:\n{}", bind.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bind
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn key() -> TsigKey {
    TsigKey::new("move.tanist.test", Algorithm::HmacSha256, SECRET).unwrap()
}

/// A port that is free for UDP and TCP now.
pub fn free(ip: &str) -> SocketAddr {
    for _ in 0..50 {
        let tcp = TcpListener::bind((ip, 0)).unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free on {ip}");
}

fn configuration(path: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "options {{ directory \"{path}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }}; pid-file none; lock-file none;
  session-keyfile none; recursion no; dnssec-validation no; notify no; allow-transfer {{ none; }}; }};
controls {{ }};
key \"move.tanist.test\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
key \"other.tanist.test\" {{ algorithm hmac-sha512; secret \"{SECRET}\"; }};
zone \"{ZONE}\" {{ type primary; file \"zone\"; allow-update {{ key \"move.tanist.test\"; }}; }};\n"
    )
}
