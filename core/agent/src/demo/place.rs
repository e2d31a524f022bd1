//! Where the demo happens: a fresh directory, addresses and ports of its own, and programs the database user can execute.

use crate::cli::{
    Failure,
    run::{beside, ids_of},
};
use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

/// Where fresh directories are made, and how they are called.
pub const PARENT: &str = "/tmp";
/// The first part of their name.
pub const PREFIX: &str = "tanist-demo-";
/// Who databases belong to when root starts the demo.
pub const DATABASE_USER: &str = "postgres";
/// BIND listens on addresses of interfaces only; of 127.0.0.0/8 that is this one.
const NAMED: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Ports are taken from here: below those that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The place.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory.
    pub directory: PathBuf,
    /// Where `tanist`, `tanist-guard` and `tanist-plugin-host` are.
    pub programs: PathBuf,
    /// PostgreSQL's port, the same on every node: an address record carries none.
    pub postgres_port: u16,
    /// Where BIND listens.
    pub named: SocketAddr,
    network: u8,
    rest_port: u16,
    dns_port: u16,
    /// User and group of the database, when it is not us.
    owner: Option<(u32, u32)>,
}

impl Place {
    /// Chooses addresses and ports, and makes the directory. The caller removes it, also when this fails later.
    pub fn choose(directory: PathBuf) -> Result<Self, Failure> {
        let owner = if rustix::process::geteuid().is_root() { Some(ids_of(DATABASE_USER)?) } else { None };
        let (network, [postgres_port, rest_port, dns_port]) = network()?;
        let named = (NAMED, port(&[NAMED], &[])?).into();
        let programs = std::env::current_exe().map_err(Failure::failed)?.with_file_name("");
        let mut place = Self { directory, programs, postgres_port, named, network, rest_port, dns_port, owner };
        for program in ["tanist", "tanist-guard", "tanist-plugin-host"] {
            beside(program)?;
        }
        if place.owner.is_some() {
            // Where root keeps them, the database user may not be able to read them.
            let copies = place.directory.join("bin");
            place.make(&copies, 0o755)?;
            for program in ["tanist", "tanist-guard", "tanist-plugin-host"] {
                copy(&beside(program)?, &copies.join(program))?;
            }
            place.programs = copies;
        }
        Ok(place)
    }

    /// The address of a node (1 to 3), or of what stands beside them.
    pub fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, self.network, number)
    }

    /// A node's PostgreSQL.
    pub fn postgres(&self, number: u8) -> SocketAddr {
        (self.address(number), self.postgres_port).into()
    }

    /// A node's REST API.
    pub fn rest(&self, number: u8) -> SocketAddr {
        (self.address(number), self.rest_port).into()
    }

    /// The connection point of a node, or the one beside them.
    pub fn dns(&self, number: u8) -> SocketAddr {
        (self.address(number), self.dns_port).into()
    }

    /// Whether processes are started as root, and the database runs as somebody else.
    pub fn is_root(&self) -> bool {
        self.owner.is_some()
    }

    /// A directory only the database user can enter.
    pub fn private(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.directory.join(name);
        self.make(&path, 0o700)?;
        self.give(&path)?;
        Ok(path)
    }

    /// A file only the database user can read.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| unusable(path, error))?;
        self.give(path)
    }

    /// A program that runs as the database user.
    pub fn as_database_user(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn make(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        make(path, mode)
    }

    fn give(&self, path: &Path) -> Result<(), Failure> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(|error| unusable(path, error))
    }
}

/// A directory nobody had before: making it fails where the name is taken, by whatever.
pub fn fresh_directory() -> Result<PathBuf, Failure> {
    let me = std::process::id();
    let path = Path::new(PARENT).join(format!("{PREFIX}{me}"));
    let again = (1..100).map(|number| Path::new(PARENT).join(format!("{PREFIX}{me}-{number}")));
    let free = std::iter::once(path).chain(again).find(|path| !path.exists());
    let path = free.ok_or_else(|| Failure::failed(format!("{PARENT} is full of {PREFIX} directories")))?;
    make(&path, 0o755)?;
    Ok(path)
}

/// Copies a program, executable for everybody.
pub fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).and_then(|_| fs::set_permissions(to, Permissions::from_mode(0o755))).map_err(|error| unusable(to, error))
}

fn make(path: &Path, mode: u32) -> Result<(), Failure> {
    let made = DirBuilder::new().mode(mode).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode))).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: std::io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}

/// A third byte of 127.0.x.y under which nobody listens on the ports we take, and the ports.
fn network() -> Result<(u8, [u16; 3]), Failure> {
    let first = std::process::id() % 200;
    let candidates = (0..200).filter_map(|step| u8::try_from((first + step) % 200 + 20).ok());
    for network in candidates {
        let addresses = [1, 2, 3, 8].map(|host| Ipv4Addr::new(127, 0, network, host));
        let Ok(postgres) = port(&addresses, &[]) else { continue };
        let Ok(rest) = port(&addresses, &[postgres]) else { continue };
        let Ok(dns) = port(&addresses, &[postgres, rest]) else { continue };
        return Ok((network, [postgres, rest, dns]));
    }
    Err(Failure::environment("no addresses in 127.0.0.0/16 are free"))
}

/// A port that is free on all these addresses, for TCP and for UDP.
fn port(addresses: &[Ipv4Addr], taken: &[u16]) -> Result<u16, Failure> {
    let span = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(37) % span;
    let candidates = (0..span).filter_map(|step| u16::try_from((first + step) % span).ok()).map(|offset| PORTS.start + offset);
    let free = |port: u16| {
        let tcp = addresses.iter().all(|address| TcpListener::bind((*address, port)).is_ok());
        tcp && addresses.iter().all(|address| UdpSocket::bind((*address, port)).is_ok())
    };
    let found = candidates.filter(|port| !taken.contains(port)).find(|port| free(*port));
    found.ok_or_else(|| Failure::environment(format!("no port between {} and {} is free", PORTS.start, PORTS.end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_somebody_listens_on_is_not_chosen() {
        let addresses = [1, 2].map(|host| Ipv4Addr::new(127, 0, 19, host));
        let first = port(&addresses, &[]).unwrap();
        let held = TcpListener::bind((addresses[1], first)).unwrap();
        let second = port(&addresses, &[]).unwrap();
        assert_ne!(first, second);
        drop(held);
        assert!(PORTS.contains(&second) && ![first, second].contains(&port(&addresses, &[first, second]).unwrap()));
    }
}
