//! A network of a cluster's own: every host in a network namespace with one address, and a wire between them that a test can hurt.
//!
//! The hosts are joined by a switch in this process (`wire`), not by the kernel's bridge: delay, loss and one-way cuts then need no
//! kernel module. Needs root; `as_root` runs a test again with it.

mod namespace;
mod wire;

pub use namespace::{Inside, within};
pub use wire::{Cut, Link, Wire};

use crate::place;
use std::{
    net::Ipv4Addr,
    process::{Command, ExitStatus},
};

/// The client's number among the hosts.
pub const CLIENT: u8 = 50;
/// The test's own number: it is never cut off from anybody.
pub const OBSERVER: u8 = 100;

/// Namespaces for some hosts, and the wire between them, the client and this process.
pub struct Net {
    /// What is between them.
    pub wire: Wire,
    namespaces: Vec<(u8, namespace::Namespace)>,
    network: [u8; 3],
}

impl Net {
    /// Hosts 1 to `count`, and the client, on `network`.0/24.
    pub fn new(network: [u8; 3], count: u8) -> Self {
        let mut namespaces = Vec::new();
        let mut tuns = Vec::new();
        for host in (1..=count).chain([CLIENT]) {
            let namespace = namespace::Namespace::new(&format!("{}-h{host}", std::process::id()), network[2]);
            tuns.push((host, namespace.tun(address(network, host))));
            namespaces.push((host, namespace));
        }
        tuns.push((
            OBSERVER,
            namespace::tun_here(&format!("tt{}n{}", std::process::id(), network[2]), address(network, OBSERVER)),
        ));
        Self { wire: Wire::new(tuns), namespaces, network }
    }

    /// The way into the namespace of a host.
    pub fn inside(&self, host: u8) -> Inside {
        let found = self.namespaces.iter().find(|(number, _)| *number == host);
        found.unwrap_or_else(|| panic!("no host {host}")).1.inside.clone()
    }

    /// The address of a host.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        address(self.network, host)
    }
}

fn address(network: [u8; 3], host: u8) -> Ipv4Addr {
    Ipv4Addr::new(network[0], network[1], network[2], host)
}

/// Runs `test` when this process is root; otherwise runs the test of this name in this module (`module_path!()`) again by sudo and passes
/// its verdict on.
pub fn as_root(module: &str, name: &str, test: impl FnOnce()) {
    if place::is_root() {
        return test();
    }
    // A test is called by its path below the crate.
    let name = module.split_once("::").map_or_else(|| name.to_owned(), |(_, module)| format!("{module}::{name}"));
    let verdict = by_sudo(&[name.as_str(), "--exact", "--nocapture"].map(String::from));
    assert!(verdict.success(), "{name}, run again as root by sudo (which must not ask for a password), failed: {verdict}");
}

/// The same for the main function of a program.
pub fn as_root_program(program: impl FnOnce()) {
    if place::is_root() {
        return program();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    std::process::exit(by_sudo(&arguments).code().unwrap_or(1));
}

fn by_sudo(arguments: &[String]) -> ExitStatus {
    let myself = std::env::current_exe().expect("this program");
    let mut command = Command::new("sudo");
    command.args(["-n", "--preserve-env=TANIST_BIN"]).arg(myself).args(arguments);
    command.status().expect("sudo runs: network namespaces need root")
}
