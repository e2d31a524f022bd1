//! One demo at a time: two would fight for the processor and measure each other.
//!
//! The lock is a name in the abstract namespace of Unix sockets. It needs no file, covers what the demo's addresses cover (the network
//! namespace), and the kernel gives it back however the demo ends.

use crate::cli::Failure;
use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] UnixListener);

/// Takes it, or says that another demo runs.
pub fn take() -> Result<Lock, Failure> {
    take_named("tanist-demo")
}

fn take_named(name: &str) -> Result<Lock, Failure> {
    let address = SocketAddr::from_abstract_name(name).map_err(|error| Failure::failed(format!("the lock: {error}")))?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => Ok(Lock(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(Failure::environment("another demo runs on this machine; wait for its end, or end it with Ctrl-C"))
        }
        Err(error) => Err(Failure::failed(format!("the lock: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::take_named;

    #[test]
    fn only_one_has_it_and_it_comes_back() {
        let name = format!("tanist-demo-test-{}", std::process::id());
        let first = take_named(&name).unwrap();
        assert!(take_named(&name).unwrap_err().to_string().contains("another demo"));
        drop(first);
        take_named(&name).unwrap();
    }
}
