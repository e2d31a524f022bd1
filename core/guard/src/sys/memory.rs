//! Shared words: a sealed memfd mapped into this process. And locking of all memory.

use super::check;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

/// Size of the mapping: one page.
const SIZE: usize = 4096;
/// Words in it.
pub(crate) const WORDS: usize = SIZE / 8;

/// A mapped memfd, seen as words.
pub(crate) struct Mapping(NonNull<AtomicU64>);

// SAFETY: the mapping is only reachable through atomics, and lives as long as the value.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// A new memfd of zeroes, sealed against shrinking (a peer that truncates it would kill us with SIGBUS), and its mapping.
    pub(crate) fn create(name: &std::ffi::CStr) -> io::Result<(Self, OwnedFd)> {
        // SAFETY: `name` is a C string; the returned descriptor is ours.
        let fd = unsafe {
            OwnedFd::from_raw_fd(check(libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING))?)
        };
        // SAFETY: plain calls on a descriptor we own.
        unsafe {
            check(libc::ftruncate(fd.as_raw_fd(), SIZE as libc::off_t))?;
            let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
            check(libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals))?;
        }
        Ok((Self::map(&fd)?, fd))
    }

    /// Map one that was passed to us; `None` when it is not a sealed memfd of the right size.
    pub(crate) fn attach(fd: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        // SAFETY: F_GET_SEALS takes no pointer.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        if seals == -1 || seals & libc::F_SEAL_SHRINK == 0 || super::file::size(fd)? != SIZE as u64 {
            return Ok(None);
        }
        Self::map(&fd).map(Some)
    }

    fn map(fd: &impl AsRawFd) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh shared mapping of a descriptor of at least SIZE bytes; the kernel chooses the address.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, access, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(at.cast()).map(Self).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The words.
    pub(crate) fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: page-aligned, SIZE bytes, mapped until drop, sealed against shrinking, only ever accessed atomically.
        unsafe { self.0.cast::<[AtomicU64; WORDS]>().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by us and nobody can hold a reference any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), SIZE) };
    }
}

/// Lock all present and future memory of this process: a page fault under memory pressure may take longer than a lease.
pub(crate) fn lock_all() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }).map(drop)
}
