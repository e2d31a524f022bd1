//! Starting a child. Between fork and exec the child does what touches the data directory's disk, so that the guard itself never waits
//! for it while a deadline runs.
//!
//! Order in the child: session and signals, groups and user, *then* the parent-death signal (setuid clears it), *then* the check that
//! the parent still is the guard, then the rest.

use super::{log, options::User};
use crate::{
    fence,
    protocol::{ProgramRef, Strings},
    sys::{
        file,
        process::{self, Forked, child},
    },
};
use std::{
    ffi::{CStr, c_char},
    io,
    os::fd::AsFd,
    ptr,
};

/// Arguments, and variables, that there is room for in any case.
const ROOM: usize = 1024;
/// Variables that a program may get besides the agent's own.
const EXTRA: usize = 64;
/// A log that is longer when its program is started is put aside.
const LONG_LOG: u64 = 64 << 20;

/// The child's preparation did not work.
const CODE_PREPARE: i32 = 125;
/// The guard was gone already.
const CODE_ORPHAN: i32 = 126;
/// No such program.
const CODE_EXEC: i32 = 127;

/// What every child has in common.
pub(super) struct Nursery<'a> {
    pub(super) user: Option<&'a User>,
    pub(super) guard: i32,
    pub(super) data_dir: &'a CStr,
}

/// What the child does in the data directory before anything else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepare {
    /// Nothing.
    Nothing,
    /// Remove `standby.signal` and `recovery.signal`.
    Primary,
    /// Make sure that `standby.signal` is there.
    Standby,
}

/// Lists of C string pointers as execve wants them; made once.
pub(super) struct Lists {
    argv: Box<[*const c_char]>,
    env: Box<[*const c_char]>,
    lengths: (usize, usize),
}

impl Lists {
    /// With room for the agent's own arguments and variables, and so for what it passes on.
    pub(super) fn new(argv: usize, env: usize) -> Self {
        let room = |strings: usize| vec![ptr::null(); strings.max(ROOM) + 1].into_boxed_slice();
        Self { argv: room(argv), env: room(env + EXTRA), lengths: (0, 0) }
    }

    /// Point to the strings; false: too many.
    pub(super) fn set<'s>(&mut self, argv: impl Iterator<Item = &'s CStr>, env: impl Iterator<Item = &'s CStr>) -> bool {
        match (fill(&mut self.argv[..], argv), fill(&mut self.env[..], env)) {
            (Some(argv), Some(env)) => {
                self.lengths = (argv, env);
                true
            }
            _ => false,
        }
    }

    /// Point to a program in a packet; false: too many strings.
    pub(super) fn set_program(&mut self, program: &ProgramRef<'_>) -> bool {
        fn strings<'a>(list: &Strings<'a>) -> impl Iterator<Item = &'a CStr> + use<'a> {
            list.iter()
        }
        self.set(strings(&program.argv), strings(&program.env))
    }

    /// Replace this process. Both lists end with a null.
    pub(super) fn execute(&self) -> io::Error {
        child::execute(&self.argv[..=self.lengths.0], &self.env[..=self.lengths.1])
    }
}

fn fill<'s>(list: &mut [*const c_char], strings: impl Iterator<Item = &'s CStr>) -> Option<usize> {
    let mut count = 0;
    for string in strings {
        if count + 1 >= list.len() {
            return None;
        }
        list[count] = string.as_ptr();
        count += 1;
    }
    list[count] = ptr::null();
    Some(count)
}

impl Nursery<'_> {
    /// Start a program of a packet, whose strings `lists` points to. It gets `death_signal` when the guard dies.
    pub(super) fn program(&self, lists: &Lists, prepare: Prepare, death_signal: i32, cwd: &CStr, log: &CStr) -> io::Result<i32> {
        match process::fork()? {
            Forked::Parent(pid) => Ok(pid),
            Forked::Child => {
                self.settle(death_signal);
                if let Err(error) = file::put_aside(log, LONG_LOG) {
                    log::line(format_args!("a log file that has grown long cannot be renamed: {error}"));
                }
                let ready = child::change_directory(if cwd.is_empty() { c"/" } else { cwd })
                    .and_then(|()| child::redirect(log))
                    .and_then(|()| self.prepare(prepare));
                if let Err(error) = ready {
                    log::line(format_args!("cannot prepare a child (directory, log or signal file): {error}"));
                    child::exit(CODE_PREPARE);
                }
                child::close_from(3);
                let error = lists.execute();
                log::line(format_args!("cannot execute the program of a job: {error}"));
                child::exit(CODE_EXEC)
            }
        }
    }

    /// A child that leaves `promote` in the data directory and ends with 0.
    pub(super) fn promote_file(&self) -> io::Result<i32> {
        match process::fork()? {
            Forked::Parent(pid) => Ok(pid),
            Forked::Child => {
                self.settle(libc::SIGKILL);
                let done = file::directory(self.data_dir).and_then(|dir| file::touch(dir.as_fd(), c"promote"));
                if let Err(error) = done {
                    log::line(format_args!("cannot create the promote file: {error}"));
                    child::exit(CODE_PREPARE);
                }
                child::exit(0)
            }
        }
    }

    /// A child that leaves `standby.signal` in the data directory, and no `promote`, and ends with 0.
    pub(super) fn standby_mark(&self) -> io::Result<i32> {
        match process::fork()? {
            Forked::Parent(pid) => Ok(pid),
            Forked::Child => {
                self.settle(libc::SIGKILL);
                if let Err(error) = fence::mark_standby(self.data_dir) {
                    log::line(format_args!("cannot create standby.signal (do not start PostgreSQL by hand): {error}"));
                    child::exit(CODE_PREPARE);
                }
                child::exit(0)
            }
        }
    }

    /// The agent. It outlives the guard, to complete the fence; so it gets no parent-death signal.
    pub(super) fn agent(&self, lists: &Lists, page: &impl AsFd, socket: &impl AsFd) -> io::Result<i32> {
        match process::fork()? {
            Forked::Parent(pid) => Ok(pid),
            Forked::Child => {
                log::in_child();
                child::detach();
                if let Err(error) = self.become_user().and_then(|()| child::pass_on(page.as_fd(), socket.as_fd())) {
                    log::line(format_args!("cannot prepare the agent: {error}"));
                    child::exit(CODE_PREPARE);
                }
                child::close_from(5);
                let error = lists.execute();
                log::line(format_args!("cannot execute the agent: {error}"));
                // A configuration error: trying again does not help.
                child::exit(2)
            }
        }
    }

    fn settle(&self, death_signal: i32) {
        log::in_child();
        child::detach();
        if let Err(error) = self.become_user() {
            log::line(format_args!("cannot become the user of the database: {error}"));
            child::exit(CODE_PREPARE);
        }
        if child::die_with(self.guard, death_signal).is_err() {
            child::exit(CODE_ORPHAN);
        }
    }

    fn become_user(&self) -> io::Result<()> {
        self.user.map_or(Ok(()), |user| child::become_user(user.uid, user.gid, &user.groups))
    }

    fn prepare(&self, prepare: Prepare) -> io::Result<()> {
        if prepare == Prepare::Nothing {
            return Ok(());
        }
        let dir = file::directory(self.data_dir)?;
        match prepare {
            Prepare::Nothing => Ok(()),
            Prepare::Primary => {
                file::remove(dir.as_fd(), c"recovery.signal").and_then(|()| file::remove(dir.as_fd(), c"standby.signal"))
            }
            Prepare::Standby => file::touch(dir.as_fd(), c"standby.signal"),
        }
    }
}
