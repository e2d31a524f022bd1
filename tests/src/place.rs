//! A place of its own for every cluster: addresses, ports, a directory, and programs the database user can execute.

use crate::net::{Inside, Net};
use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

static NEXT: AtomicU8 = AtomicU8::new(0);
/// Where programs are copied to, followed by the pid of the test process.
const COPIES: &str = "/tmp/tanist-e2e-bin-";
static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();

/// One cluster's corner of this machine. The directory goes when it is dropped.
pub struct Place {
    directory: tempfile::TempDir,
    network: [u8; 3],
    net: Option<Net>,
    /// PostgreSQL's port, the same on every node.
    pub postgres_port: u16,
    /// The REST API's port, the same on every node.
    pub rest_port: u16,
    /// The DNS connection point's port, the same on every node.
    pub dns_port: u16,
}

impl Place {
    /// Addresses nobody else uses: the second byte comes from this process, the third from a counter.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tanist-e2e-").tempdir_in("/tmp").expect("a temporary directory");
        open_to_all(directory.path());
        let process = u8::try_from(std::process::id() % 120).expect("below 120");
        let network = [127, 80 + process, NEXT.fetch_add(1, Ordering::Relaxed)];
        let mut place = Self { directory, network, net: None, postgres_port: 0, rest_port: 0, dns_port: 0 };
        place.postgres_port = place.free_port();
        place.rest_port = place.free_port();
        place.dns_port = place.free_port();
        place
    }

    /// A place whose `hosts` nodes, and the client, each have a network namespace of their own. Needs root.
    pub fn networked(hosts: u8) -> Self {
        let place = Self::new();
        let process = u8::try_from(std::process::id() % 100).expect("below 100");
        let network = [10, 100 + process, place.network[2]];
        Self { net: Some(Net::new(network, hosts)), network, postgres_port: 5432, rest_port: 8008, dns_port: 5300, ..place }
    }

    /// The network of a networked place.
    ///
    /// # Panics
    /// In a place on loopback.
    pub fn net(&self) -> &Net {
        self.net.as_ref().expect("a place with a network of its own")
    }

    /// Whether each host has a network namespace.
    pub fn is_networked(&self) -> bool {
        self.net.is_some()
    }

    /// The way into the network namespace of host `number`, where there is one.
    pub fn inside(&self, number: u8) -> Option<Inside> {
        self.net.as_ref().map(|net| net.inside(number))
    }

    /// All addresses of this place, for access rules.
    pub fn addresses(&self) -> String {
        let [a, b, c] = self.network;
        if self.is_networked() { format!("{a}.{b}.{c}.0/24") } else { "127.0.0.0/8".into() }
    }

    /// The address of node `number` (1, 2, …), or of a helper beyond the nodes.
    pub fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.network[0], self.network[1], self.network[2], number)
    }

    /// The cluster's directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A port that is free for TCP and UDP on the first addresses.
    pub fn free_port(&self) -> u16 {
        for _ in 0..100 {
            let first = TcpListener::bind((self.address(1), 0)).expect("a free port");
            let port = first.local_addr().expect("an address").port();
            let others = (2..=5).all(|n| TcpListener::bind((self.address(n), port)).is_ok());
            let udp = (1..=5).all(|n| UdpSocket::bind((self.address(n), port)).is_ok());
            // One that was picked for something else is not taken yet.
            let picked = [self.postgres_port, self.rest_port, self.dns_port].contains(&port);
            if !picked && others && udp {
                return port;
            }
        }
        panic!("no free port on {}", self.address(1));
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether this process is root: then databases run as `postgres`.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets everybody read and enter `path`.
pub fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// Hands `path` to the database user, when we are root.
pub fn give_to_database_user(path: &Path) {
    if is_root() {
        let done = Command::new("chown").arg("-R").arg("postgres:").arg(path).status().expect("chown runs");
        assert!(done.success(), "chown {}", path.display());
    }
}

/// A command that runs as the database user: as itself, or as `postgres` when we are root; in a directory that it can enter, which ours
/// need not be.
pub fn as_database_user(program: &Path) -> Command {
    let mut command = if is_root() { Command::new("setpriv") } else { Command::new(program) };
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    }
    command.current_dir("/");
    command
}

/// The directory with `tanist`, `tanist-guard` and `tanist-plugin-host`: a copy of `target/bin` that the database user can execute
/// even when the project lies in a home directory nobody else can read.
pub fn programs() -> &'static Path {
    PROGRAMS.get_or_init(|| {
        remove_left_over();
        let copy = PathBuf::from(format!("{COPIES}{}", std::process::id()));
        std::fs::create_dir_all(&copy).expect("a directory for the programs");
        open_to_all(&copy);
        for program in ["tanist", "tanist-guard", "tanist-plugin-host"] {
            std::fs::copy(staged(program), copy.join(program)).expect("copy a program");
        }
        copy
    })
}

/// A program in `target/bin`, for who may read it there.
pub fn staged(program: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let directory = std::env::var_os("TANIST_BIN").map_or_else(|| root.join("target/bin"), PathBuf::from);
    let found = directory.join(program);
    assert!(found.is_file(), "{} is missing: run scripts/stage first (make test does)", found.display());
    found
}

/// Copies of test processes that have ended: nothing runs at the end of a process that could remove its own.
fn remove_left_over() {
    for entry in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let path = entry.path();
        let owner = path.to_str().and_then(|path| path.strip_prefix(COPIES));
        if owner.and_then(|pid| pid.parse().ok()).is_some_and(|pid| crate::process::look(pid).is_none()) {
            // Another test process may be removing it too.
            let _gone_already = std::fs::remove_dir_all(path);
        }
    }
}

/// Debian's PostgreSQL programs, the newest version installed.
pub fn postgres_bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed (scripts/need postgres)")
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL's server programs are installed (scripts/need postgres)")
}
