//! Named network namespaces (ip-netns(8)), and the interface that leads out of each.

use std::{net::Ipv4Addr, os::fd::AsFd, path::PathBuf, process::Command};
use tappers::{Interface, Tun};

/// Begins the names of all our namespaces, followed by the pid of the test process.
const PREFIX: &str = "tanist-";

/// The way into a network namespace.
#[derive(Clone, Debug)]
pub struct Inside {
    name: String,
}

/// Lets `command` run in there, or here when there is no such place. It keeps the pid that the child is given.
pub fn within(inside: Option<&Inside>, command: Command) -> Command {
    let Some(inside) = inside else { return command };
    let mut entering = Command::new("ip");
    entering.args(["netns", "exec", &inside.name]).arg(command.get_program()).args(command.get_args());
    entering.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    if let Some(directory) = command.get_current_dir() {
        entering.current_dir(directory);
    }
    entering
}

/// A network namespace; removed when it is dropped.
pub(super) struct Namespace {
    /// The way into it.
    pub(super) inside: Inside,
}

impl Namespace {
    /// Makes one, with its loopback up.
    pub(super) fn new(host: &str, network: u8) -> Self {
        remove_left_over();
        let name = format!("{PREFIX}{host}-{network}");
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self { inside: Inside { name } }
    }

    /// An interface with this address in here, whose other end is in this process.
    pub(super) fn tun(&self, address: Ipv4Addr) -> Tun {
        let path = PathBuf::from("/run/netns").join(&self.inside.name);
        // Only a thread's namespace changes, and this thread ends.
        let opened = std::thread::spawn(move || {
            let file = std::fs::File::open(path)?;
            rustix::thread::move_into_link_name_space(file.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))?;
            Tun::new_named(Interface::new("net0")?)
        });
        let tun = opened.join().expect("the thread ends").expect("a virtual interface (/dev/net/tun, root)");
        ip(&["-n", &self.inside.name, "addr", "add", &format!("{address}/24"), "dev", "net0"]);
        ip(&["-n", &self.inside.name, "link", "set", "net0", "up"]);
        tun
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.inside.name]);
    }
}

/// An interface in this process's own namespace. It goes with its descriptor.
pub(super) fn tun_here(name: &str, address: Ipv4Addr) -> Tun {
    let interface = Interface::new(name).expect("an interface name");
    let tun = Tun::new_named(interface).expect("a virtual interface (/dev/net/tun, root)");
    ip(&["addr", "add", &format!("{address}/24"), "dev", name]);
    ip(&["link", "set", name, "up"]);
    tun
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip runs (scripts/need ip)");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Namespaces of test processes that were killed.
fn remove_left_over() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
        if owner.is_some_and(|pid| crate::process::look(pid).is_none()) {
            // Another test process may be removing it too.
            let _gone_already = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}
