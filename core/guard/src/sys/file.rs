//! Files: identity of directories, signal files of PostgreSQL, the lock.

use super::check;
use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// What identifies a file whatever its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    dev: u64,
    ino: u64,
}

/// The identity behind a path; links are followed.
pub(crate) fn id(path: &CStr) -> io::Result<FileId> {
    // SAFETY: `path` is a C string, `stat` is plain data of the right size.
    unsafe {
        let mut stat = std::mem::zeroed::<libc::stat>();
        check(libc::stat(path.as_ptr(), &mut stat))?;
        Ok(FileId { dev: stat.st_dev, ino: stat.st_ino })
    }
}

/// The size of an open file.
pub(crate) fn size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: `stat` is plain data of the right size.
    unsafe {
        let mut stat = std::mem::zeroed::<libc::stat>();
        check(libc::fstat(fd.as_raw_fd(), &mut stat))?;
        Ok(stat.st_size as u64)
    }
}

/// Open a directory.
pub(crate) fn directory(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `path` is a C string; the descriptor is ours.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::open(path.as_ptr(), flags))?)) }
}

/// Whether the directory has this entry.
pub(crate) fn has(dir: BorrowedFd<'_>, name: &CStr) -> bool {
    // SAFETY: `name` is a C string.
    unsafe { libc::faccessat(dir.as_raw_fd(), name.as_ptr(), libc::F_OK, 0) == 0 }
}

/// Make an empty file durable in the directory, where it is missing. Links are never followed.
pub(crate) fn touch(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is a C string; the descriptor is ours.
    let opened = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, 0o600) };
    if opened == -1 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::EEXIST) { Ok(()) } else { Err(error) };
    }
    // SAFETY: as above; the calls take no pointers.
    unsafe {
        let file = OwnedFd::from_raw_fd(opened);
        check(libc::fsync(file.as_raw_fd()))?;
    }
    sync(dir)
}

/// Remove a file durably; one that is not there is fine.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is a C string.
    match check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) }) {
        Ok(_) => sync(dir),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync(dir: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fsync(dir.as_raw_fd()) }).map(drop)
}

/// Rename a file that is longer than this by appending `.1`, in place of an older one. Anything but a file of its own (a link, a pipe)
/// stays as it is.
pub(crate) fn put_aside(path: &CStr, longest: u64) -> io::Result<()> {
    // SAFETY: `path` is a C string, `stat` is plain data of the right size.
    let stat = unsafe {
        let mut stat = std::mem::zeroed::<libc::stat>();
        if libc::lstat(path.as_ptr(), &mut stat) == -1 {
            // Nothing is there, or opening it will say what is wrong.
            return Ok(());
        }
        stat
    };
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG || stat.st_size as u64 <= longest {
        return Ok(());
    }
    let mut old = [0_u8; libc::PATH_MAX as usize];
    let name = path.to_bytes();
    let room = old.get_mut(..name.len() + 3).ok_or_else(|| io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
    room[..name.len()].copy_from_slice(name);
    room[name.len()..].copy_from_slice(b".1\0");
    // SAFETY: both are C strings, the second ends with the NUL that was just written.
    check(unsafe { libc::rename(path.as_ptr(), old.as_ptr().cast()) }).map(drop)
}

/// Lock an open file or directory for this process; false: somebody else has it. Ends with the last copy of the descriptor.
pub(crate) fn lock(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no pointers.
    match check(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Write as much as fits without waiting (pipes: up to PIPE_BUF after poll said so); what does not fit is dropped.
pub(crate) fn write_if_ready(fd: libc::c_int, bytes: &[u8]) {
    let mut fds = [super::event::interest(Some(fd), libc::POLLOUT)];
    super::event::poll(&mut fds, 0);
    if fds[0].revents & libc::POLLOUT != 0 {
        // SAFETY: the slice is valid for its length.
        unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    }
}

/// An open file of a file system, not a pipe, socket or terminal.
pub(crate) fn is_regular(fd: libc::c_int) -> bool {
    // SAFETY: `stat` is plain data of the right size.
    unsafe {
        let mut stat = std::mem::zeroed::<libc::stat>();
        libc::fstat(fd, &mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// A pipe: its end for reading, and one for writing that never waits.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both descriptors, which are ours.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        let (read, write) = (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]));
        check(libc::fcntl(write.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK))?;
        Ok((read, write))
    }
}

/// Everything that comes out of one descriptor into the other, until its end. Bytes that cannot be written are left out.
pub(crate) fn copy(from: &OwnedFd, to: libc::c_int) {
    let mut bytes = [0_u8; 4096];
    loop {
        // SAFETY: the array is valid for its length.
        let count = unsafe { libc::read(from.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        match usize::try_from(count) {
            Ok(0) => return,
            // SAFETY: so many bytes were read.
            Ok(count) => unsafe {
                libc::write(to, bytes.as_ptr().cast(), count);
            },
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
