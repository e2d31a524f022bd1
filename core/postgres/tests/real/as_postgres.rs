//! Runs a test as a user that PostgreSQL accepts.

use std::{
    fs,
    future::Future,
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// A child that is forked while a copy is being written has it open until its own program begins, and what somebody has open for writing
/// is not executed ("text file busy").
static FORKS: Mutex<()> = Mutex::new(());

/// Runs the body as a normal user: directly, or, as root, in another process that is this test only.
pub fn as_postgres<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if !rustix::process::geteuid().is_root() {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(body());
        return;
    }
    let dir = tempfile::Builder::new().prefix("tanist-pg-exe-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let exe = dir.path().join("test");
    {
        let _no_fork = FORKS.lock().unwrap_or_else(PoisonError::into_inner);
        fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    }
    let user = fs::read_to_string("/etc/passwd").unwrap();
    let user = user.lines().find(|line| line.starts_with("postgres:")).expect("the user `postgres`, made by Debian's package");
    let id: u32 = user.split(':').nth(2).unwrap().parse().unwrap();
    chown(dir.path(), Some(id), None).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "--"])
        .arg(&exe)
        .args(["--exact", test, "--nocapture"])
        .current_dir(dir.path())
        .env("HOME", dir.path());
    let child = {
        let _no_copy = FORKS.lock().unwrap_or_else(PoisonError::into_inner);
        command.spawn()
    };
    let status = child.unwrap().wait().unwrap();
    assert!(status.success(), "{test} failed as user postgres: {status}");
}
