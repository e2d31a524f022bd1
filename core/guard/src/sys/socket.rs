//! The seqpacket pair between guard and agent.

use super::{check, check_len, event};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// A connected pair, close-on-exec: ours does not block, the other end is passed on.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: the array has room for two descriptors, which are ours.
    unsafe {
        check(libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()))?;
        let pair = (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]));
        check(libc::fcntl(fds[0], libc::F_SETFL, libc::O_NONBLOCK))?;
        Ok(pair)
    }
}

/// Never wait on this descriptor.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)).map(drop)
    }
}

/// One packet out.
pub(crate) fn send(fd: BorrowedFd<'_>, packet: &[u8]) -> io::Result<()> {
    // SAFETY: the slice is valid for its length.
    check_len(unsafe { libc::send(fd.as_raw_fd(), packet.as_ptr().cast(), packet.len(), libc::MSG_NOSIGNAL) }).map(drop)
}

/// One packet in; its true length, which is larger than the buffer when it was cut. 0: the other end is closed.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the slice is valid for its length.
    check_len(unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_TRUNC) })
}

/// Whether something can be read, waiting for it so many milliseconds at most.
pub(crate) fn readable_within(fd: BorrowedFd<'_>, milliseconds: u16) -> bool {
    let mut fds = [event::interest(Some(fd.as_raw_fd()), libc::POLLIN)];
    event::poll(&mut fds, libc::c_int::from(milliseconds));
    fds[0].revents != 0
}
