//! A private BIND with one dynamic zone: a copy of the binary (a security policy may be bound to its path), a configuration and a key of
//! its own. Every change of the zone is in its journal, so that a test can read the whole history of a record afterwards.

use crate::{dns, place, wait};
use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// BIND listens on addresses of interfaces only; of 127.0.0.0/8 that is this one.
const HOST: &str = "127.0.0.1";
/// The zone.
pub const ZONE: &str = "dyn.example";
/// The record that follows the primary.
pub const RECORD: &str = "db.dyn.example";
const KEY: &str = "move.tanist.test";
const SECRET: &str = "c2VjcmV0LW9mLXRoZS1lbmQtdG8tZW5kLXRlc3Rz";

/// A running server.
pub struct Named {
    /// Where it answers.
    pub address: SocketAddr,
    directory: tempfile::TempDir,
    child: Child,
}

impl Named {
    /// Starts it on a free port and waits until it answers.
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("tanist-e2e-named-").tempdir_in("/tmp").expect("a directory");
        let path = directory.path();
        place::open_to_all(path);
        let program = path.join("tanist-e2e-named");
        // By a process of its own: a descriptor open for writing here would be inherited by what other tests start, and the copy be busy.
        let copied = Command::new("cp").arg("/usr/sbin/named").arg(&program).status().expect("cp runs");
        assert!(copied.success(), "BIND's named is needed (scripts/need named)");
        let address = free();
        let zone = format!("$TTL 60\n@ SOA ns.{ZONE}. root.{ZONE}. 1 60 60 600 5\n@ NS ns.{ZONE}.\nns A {HOST}\n");
        fs::write(path.join("zone"), zone).expect("the zone");
        fs::write(path.join("named.conf"), configuration(&path.display().to_string(), address)).expect("named.conf");
        let log = fs::File::create(path.join("log")).expect("the log");
        let mut command = Command::new(program);
        command.args(["-g", "-n", "1", "-c"]).arg(path.join("named.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("named starts");
        let named = Self { address, directory, child };
        wait::until("named answers", Duration::from_secs(30), || match dns::addresses(address, &format!("ns.{ZONE}")) {
            Ok(found) if !found.is_empty() => Ok(()),
            other => Err(format!("{other:?}\n{}", fs::read_to_string(named.directory.path().join("log")).unwrap_or_default())),
        });
        named
    }

    /// The `plugins:` section with the bundled plugin that moves the record.
    pub fn plugin(&self) -> String {
        format!(
            "plugins:\n  - name: move\n    component: builtin:dns-update\n    config: {{name: {RECORD}, ttl: 1}}\n    \
             grants:\n      dns:\n        \
             server: {}\n        zone: {ZONE}\n        names: [{RECORD}]\n        \
             tsig_key: {{name: {KEY}, algorithm: hmac-sha256, secret: {SECRET}}}\n",
            self.address
        )
    }

    /// What the record says now.
    pub fn record(&self) -> Result<Vec<IpAddr>, String> {
        dns::addresses(self.address, RECORD)
    }

    /// Every address the record was ever given, in order: the zone's journal, by an incremental transfer from the first serial.
    pub fn history(&self) -> Vec<IpAddr> {
        let text = dns::dig(self.address, &["+tcp", "+noall", "+answer", ZONE, "IXFR=1"]).expect("a transfer");
        let mut soas = 0;
        let mut added = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                [_, _, _, "SOA", ..] => soas += 1,
                // The first SOA is the newest; then for every change: old SOA, what went, new SOA, what came.
                [name, _, _, "A", address] if name.trim_end_matches('.') == RECORD && soas >= 3 && soas % 2 == 1 => {
                    added.push(address.parse().expect("an address"));
                }
                _ => {}
            }
        }
        added
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- named\n{}", fs::read_to_string(self.directory.path().join("log")).unwrap_or_default());
        }
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A port that is free for UDP and TCP.
fn free() -> SocketAddr {
    for _ in 0..100 {
        let tcp = TcpListener::bind((HOST, 0)).expect("a free port");
        let address = tcp.local_addr().expect("an address");
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port on {HOST}");
}

fn configuration(path: &str, address: SocketAddr) -> String {
    let port = address.port();
    format!(
        "options {{ directory \"{path}\"; listen-on port {port} {{ {HOST}; }}; listen-on-v6 {{ none; }}; pid-file none; lock-file none;\n  \
         session-keyfile none; recursion no; dnssec-validation no; notify no; allow-transfer {{ any; }};\n  \
         max-ixfr-ratio unlimited; }};\ncontrols {{ }};\n\
         key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         zone \"{ZONE}\" {{ type primary; file \"zone\"; allow-update {{ key \"{KEY}\"; }}; }};\n"
    )
}
