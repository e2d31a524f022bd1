//! How the host process finds its end of the socketpair.
//!
//! The agent hands it over as the child's standard input: `Command` duplicates exactly that descriptor into exactly that child, so
//! it needs no `unsafe`, and no other child that is started at the same moment can inherit it. The variable tells a host that was
//! started by the agent from one started by hand.

use rustix::fd::AsFd;
use std::{env, io, os::unix::net::UnixStream};

/// The environment variable with the descriptor's number.
pub const FD_ENV: &str = "TANIST_PLUGIN_HOST_FD";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Not started by an agent.
    #[error("{FD_ENV} is not set to 0: this program is started by the agent, not by hand")]
    NotInherited,
    /// Standard input is not a socket.
    #[error("standard input is not the agent's socket: {0}")]
    NotASocket(io::Error),
}

/// The host's end of the socketpair. Blocking; `set_nonblocking` before giving it to a runtime. Standard input keeps a second
/// descriptor of it, so shut it down (rather than drop it) to hang up.
pub fn inherited_socket() -> Result<UnixStream, SocketError> {
    if env::var(FD_ENV).as_deref() != Ok("0") {
        return Err(SocketError::NotInherited);
    }
    let stdin = io::stdin();
    rustix::net::sockopt::socket_type(&stdin).map_err(|error| SocketError::NotASocket(error.into()))?;
    let socket = stdin.as_fd().try_clone_to_owned().map_err(SocketError::NotASocket)?;
    Ok(UnixStream::from(socket))
}
