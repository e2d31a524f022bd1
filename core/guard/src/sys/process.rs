//! Processes: signals, waiting, priority, and the child's side of a fork.

use super::{check, check_long};
use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// A descriptor that is readable when the process is dead.
pub(crate) fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is ours.
    unsafe {
        let fd = check_long(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Signal exactly the process behind the descriptor, even if its number was given to another meanwhile.
pub(crate) fn signal_fd(fd: BorrowedFd<'_>, signal: libc::c_int) -> bool {
    // SAFETY: no siginfo is passed.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0) == 0 }
}

/// Signal a process that is our child (its number cannot be used again before we reap it).
pub(crate) fn signal(pid: i32, signal: libc::c_int) -> bool {
    // SAFETY: no pointers.
    pid > 0 && unsafe { libc::kill(pid, signal) == 0 }
}

/// Signal the process group of a child that is a session leader.
pub(crate) fn signal_group(leader: i32, signal: libc::c_int) -> bool {
    // SAFETY: no pointers.
    leader > 1 && unsafe { libc::kill(-leader, signal) == 0 }
}

/// Our parent.
pub(crate) fn parent() -> i32 {
    // SAFETY: never fails.
    unsafe { libc::getppid() }
}

/// Whether the group that a child led has a process left, dead ones that nobody has reaped included.
pub(crate) fn group_lives(leader: i32) -> bool {
    // SAFETY: no pointers; signal 0 only asks.
    leader > 1 && !check(unsafe { libc::kill(-leader, 0) }).is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}

/// A dead child that is not reaped yet: its number, and that of its group, are still its own.
pub(crate) fn dead_child() -> Option<i32> {
    // SAFETY: siginfo_t is plain data, zeroed as the call wants it; the number is only read where the call filled it in.
    let pid = unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        check(libc::waitid(libc::P_ALL, 0, &mut info, options)).ok()?;
        info.si_pid()
    };
    (pid > 0).then_some(pid)
}

/// Reap this dead child: its exit code, or the signal.
pub(crate) fn reap(pid: i32) -> Option<Result<i32, i32>> {
    let mut status = 0;
    // SAFETY: `status` is valid for the call.
    if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } != pid {
        return None;
    }
    Some(if libc::WIFSIGNALED(status) { Err(libc::WTERMSIG(status)) } else { Ok(libc::WEXITSTATUS(status)) })
}

/// Own a descriptor that was passed over exec, and let it go no further.
pub(crate) fn adopt_fd(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD fails for a descriptor that is not open; one that is open was passed to us for this.
    unsafe {
        check(libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Orphans of our children become ours.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Real-time priority, else the best ordinary one; children get neither. The error is that of the second attempt.
pub(crate) fn raise_priority() -> io::Result<()> {
    // SAFETY: the parameter is plain data, valid for the calls.
    unsafe {
        let mut parameter = std::mem::zeroed::<libc::sched_param>();
        parameter.sched_priority = 50;
        if libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameter) == 0 {
            return Ok(());
        }
        parameter.sched_priority = 0;
        libc::sched_setscheduler(0, libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, &parameter);
        check(libc::setpriority(libc::PRIO_PROCESS, 0, -20)).map(drop)
    }
}

/// The effective user.
pub(crate) fn user() -> u32 {
    // SAFETY: never fails.
    unsafe { libc::geteuid() }
}

/// Random bits for the start nonce.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the slice is valid for its length; 8 bytes are never delivered in part.
    super::check_len(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })?;
    Ok(u64::from_le_bytes(bytes))
}

/// A forked process, on either side.
pub(crate) enum Forked {
    /// We are the parent of this one.
    Parent(i32),
    /// We are the child: only [`child`] may be used, and it must not return.
    Child,
}

/// Fork. The caller has a single thread, so the child may do what it likes; it allocates nothing all the same.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the guard has one thread, no lock can be held by another.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// What only a freshly forked child does.
pub(crate) mod child {
    use super::*;

    /// End without running anything of the parent's.
    pub(crate) fn exit(code: libc::c_int) -> ! {
        // SAFETY: _exit runs no handlers.
        unsafe { libc::_exit(code) }
    }

    /// A session of its own, default signals, none blocked.
    pub(crate) fn detach() {
        // SAFETY: the set is initialised before use; SIG_DFL is a valid disposition.
        unsafe {
            libc::setsid();
            for signal in 1..32 {
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&mut set);
            libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        }
    }

    /// Become this user: groups, then group, then user.
    pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
        // SAFETY: the slice is valid for its length.
        unsafe {
            check(libc::setgroups(groups.len(), groups.as_ptr()))?;
            check(libc::setresgid(gid, gid, gid))?;
            check(libc::setresuid(uid, uid, uid)).map(drop)
        }
    }

    /// Get this signal when the parent dies, and make sure that it has not died already. After [`become_user`], which clears it.
    pub(crate) fn die_with(guard: i32, signal: libc::c_int) -> io::Result<()> {
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong, 0, 0, 0) })?;
        if parent() == guard { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    }

    /// Working directory.
    pub(crate) fn change_directory(path: &CStr) -> io::Result<()> {
        // SAFETY: `path` is a C string.
        check(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
    }

    /// Standard input from nowhere; output and error to the file, or both to the present standard error when it has no name.
    pub(crate) fn redirect(log: &CStr) -> io::Result<()> {
        // SAFETY: the paths are C strings; descriptors 0–2 are replaced whatever they were.
        unsafe {
            let null = check(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR))?;
            check(libc::dup2(null, 0))?;
            let out = if log.is_empty() {
                2
            } else {
                check(libc::open(log.as_ptr(), libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND, 0o600))?
            };
            check(libc::dup2(out, 1))?;
            check(libc::dup2(out, 2)).map(drop)
        }
    }

    /// Put these two at 3 and 4, inherited over exec.
    pub(crate) fn pass_on(page: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: copies above the targets first, so that neither overwrites the other; dup2 clears close-on-exec.
        unsafe {
            let page = check(libc::fcntl(page.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 20))?;
            let socket = check(libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 20))?;
            check(libc::dup2(page, 3))?;
            check(libc::dup2(socket, 4)).map(drop)
        }
    }

    /// Nothing from this descriptor on is inherited.
    pub(crate) fn close_from(first: libc::c_uint) {
        // SAFETY: no pointers; on a kernel without the call, close-on-exec of our own descriptors remains.
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    }

    /// Run the program. Both lists end with a null pointer. Returns only the error.
    pub(crate) fn execute(argv: &[*const libc::c_char], env: &[*const libc::c_char]) -> io::Error {
        assert!(argv.len() > 1 && argv.last() == Some(&std::ptr::null()) && env.last() == Some(&std::ptr::null()));
        // SAFETY: both are null-terminated lists of C strings that live until exec.
        unsafe { libc::execve(argv[0], argv.as_ptr(), env.as_ptr()) };
        io::Error::last_os_error()
    }
}
