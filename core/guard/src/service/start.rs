//! The guard's start: one guard per data directory, the page, priorities, and nothing unguarded left running. Allocation ends here.

use super::{Agent, Children, Guard, Lists, Options, Outbox, User, log};
use crate::{
    clock::boot_now_ns,
    fence,
    page::{FenceState, Page},
    protocol::FenceCause,
    sys::{event, file, memory, process},
};
use std::{
    ffi::CString,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{DirBuilderExt, OpenOptionsExt, chown},
        },
    },
    path::{Path, PathBuf},
};

/// Why the guard does not start. One line that names what, for the operator.
#[derive(Debug)]
pub enum StartError {
    /// Another guard has this data directory.
    Owned {
        /// The data directory.
        data_dir: PathBuf,
        /// What the lock file says about the owner.
        owner: String,
    },
    /// Only root can start programs as somebody else.
    NotRoot(u32),
    /// Something that is needed could not be had.
    Needs(&'static str, PathBuf, io::Error),
    /// A system call that always works did not.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owned { data_dir, owner } => {
                write!(f, "another guard ({owner}) owns the data directory {}: stop it first", data_dir.display())
            }
            Self::NotRoot(uid) => {
                write!(f, "--user asks for uid {uid}, which only root can switch to: start as root or as that user")
            }
            Self::Needs(what, path, error) => write!(f, "{what} {}: {error}", path.display()),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Run the guard until its agent has ended for good. The exit code of the process.
pub fn run(mut options: Options) -> Result<u8, StartError> {
    log::keep_off_the_disk();
    let own = process::user();
    if let Some(user) = options.user.take_if(|_| own != 0)
        && user.uid != own
    {
        return Err(StartError::NotRoot(user.uid));
    }
    let _locks = lock(&options)?;
    let signals = event::signals(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    let signals = signals.map_err(|e| StartError::System("signalfd", e))?;
    process::become_subreaper().map_err(|e| StartError::System("PR_SET_CHILD_SUBREAPER", e))?;
    let nonce = process::random().map_err(|e| StartError::System("getrandom", e))?;
    let (page, page_fd) = Page::create(nonce).map_err(|e| StartError::System("memfd_create", e))?;
    let timer = event::timer().map_err(|e| StartError::System("timerfd_create", e))?;
    let recorded = fence::recorded_postmaster(&options.data_dir);
    let data_dir = c_path(&options.data_dir)?;
    let env = agent_env();
    let mut guard = Guard {
        pid: std::process::id() as i32,
        data_dir,
        user: options.user,
        page,
        page_fd,
        children: Children::new(),
        outbox: Outbox::new(),
        lists: Lists::new(options.agent.len(), env.len()),
        agent: Agent { argv: options.agent, env, socket: None, started: 0, restart_at: 0, quick_deaths: 0, told: None },
        timer,
        signals,
        sessions: 0,
        home: None,
        found_unguarded: false,
        stopping: false,
        leaving: None,
        finish: None,
    };
    if let Err(error) = process::raise_priority() {
        log::line(format_args!("neither real-time priority nor nice -20 ({error}): a loaded machine may fence late"));
    }
    if let Err(error) = memory::lock_all() {
        log::line(format_args!("cannot lock memory ({error}): raise LimitMEMLOCK; a machine short of memory may fence late"));
    }
    guard.fence_unguarded(recorded);
    Ok(guard.serve())
}

impl Guard {
    /// A PostgreSQL that no guard holds must not exist.
    fn fence_unguarded(&mut self, recorded: Option<i32>) {
        self.page.beat_guard(boot_now_ns());
        self.page.set_fence_state(FenceState::Running);
        let target = fence::Target { data_dir: &self.data_dir, postmaster: recorded, child: false, home: None, spare: 0 };
        let fenced = fence::run(&target, &mut || ());
        if fenced.killed > 0 {
            self.found_unguarded = true;
            self.mark_standby();
            log::line(format_args!(
                "{:?}: PostgreSQL ran without a guard; {} processes fenced",
                FenceCause::Unguarded,
                fenced.killed
            ));
            self.page.record_fence(fenced.signalled_ns, fenced.complete_ns);
        }
        self.page.set_fence_state(FenceState::Complete);
        self.set_budget();
    }
}

/// The lock file in the state directory, and the data directory itself where it exists: the same directory is not guarded twice, under
/// whatever state directory. The locks end with this process (children close them at exec).
fn lock(options: &Options) -> Result<(File, Option<OwnedFd>), StartError> {
    make_state_dir(&options.state_dir, options.user.as_ref())
        .map_err(|error| StartError::Needs("cannot create the state directory", options.state_dir.clone(), error))?;
    let path = options.state_dir.join("guard.lock");
    let needs = |error| StartError::Needs("cannot use the lock file", path.clone(), error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(needs)?;
    let owned = |owner: &str| StartError::Owned { data_dir: options.data_dir.clone(), owner: owner.to_owned() };
    if !file::lock(file.as_fd()).map_err(needs)? {
        let mut pid = String::new();
        // The text is for people; without it the refusal is the same.
        let _ = file.take(32).read_to_string(&mut pid);
        return Err(owned(&format!("pid {}", pid.trim())));
    }
    let data_dir = file::directory(&c_path(&options.data_dir)?).ok();
    if let Some(dir) = &data_dir
        && !file::lock(dir.as_fd()).map_err(|error| StartError::Needs("cannot lock", options.data_dir.clone(), error))?
    {
        return Err(owned("with another state directory"));
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(needs)?;
    Ok((file, data_dir))
}

fn make_state_dir(path: &Path, user: Option<&User>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}

fn c_path(path: &Path) -> Result<CString, StartError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| StartError::Needs("not a path", path.to_owned(), io::ErrorKind::InvalidInput.into()))
}

/// Our environment, with what the agent finds us by.
fn agent_env() -> Vec<CString> {
    use crate::client::{GUARD_PID, PAGE_FD, SOCKET_FD};
    let own = [(PAGE_FD, 3), (SOCKET_FD, 4), (GUARD_PID, std::process::id())];
    let inherited = std::env::vars_os().filter(|(key, _)| !own.iter().any(|(name, _)| key == name)).filter_map(|(key, value)| {
        let mut pair = key.into_vec();
        pair.push(b'=');
        pair.extend(value.into_vec());
        CString::new(pair).ok()
    });
    let ours = own.iter().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok());
    inherited.chain(ours).collect()
}
