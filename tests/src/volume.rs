//! A small file system of its own, which a test can freeze, fill, and break, without touching the machine's.
//!
//! It lives in a file, is mounted through a loop device, and only in the mount namespace of the test's own process: whatever becomes of
//! the test, it goes with the last process that uses it. Needs root; [`in_own_mounts`] runs a test again with it.

use crate::{place, process, wait};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Set in the process that has mounts of its own.
const MARK: &str = "TANIST_OWN_MOUNTS";

/// Runs `test` as root in a mount namespace of its own: in another process, whose verdict is passed on.
pub fn in_own_mounts(name: &str, test: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let myself = std::env::current_exe().expect("this program");
    let mut command = Command::new(if place::is_root() { "unshare" } else { "sudo" });
    if !place::is_root() {
        command.args(["-n", &format!("--preserve-env=TANIST_BIN,{MARK}"), "unshare"]);
    }
    command.args(["--mount", "--propagation", "private"]).arg(myself).args([name, "--exact", "--nocapture"]).env(MARK, "1");
    let verdict = command.status().expect("unshare runs, for others than root by sudo: mounts need root");
    assert!(verdict.success(), "{name}, in a process with mounts of its own, failed: {verdict}");
}

/// The file system.
pub struct Volume {
    at: PathBuf,
    ballast: PathBuf,
    bound: Vec<PathBuf>,
}

impl Volume {
    /// An empty one of this size, mounted in `directory` under `name`.
    pub fn new(directory: &Path, name: &str, megabytes: u64) -> Self {
        let (image, at) = (directory.join(format!("{name}.img")), directory.join(name));
        File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("the image");
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-m".as_ref(), "0".as_ref(), image.as_ref()]);
        fs::create_dir_all(&at).expect("the mount point");
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at.as_ref()]);
        place::open_to_all(&at);
        Self { ballast: at.join("ballast"), at, bound: Vec::new() }
    }

    /// Puts an empty directory of it in the place of `target`, for the database user.
    pub fn bind(&mut self, name: &str, target: &Path) {
        let inside = self.at.join(name);
        for directory in [inside.as_path(), target] {
            fs::create_dir_all(directory).expect("a directory");
        }
        run("mount", &["--bind".as_ref(), inside.as_ref(), target.as_ref()]);
        fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("permissions");
        place::give_to_database_user(target);
        self.bound.push(target.to_owned());
    }

    /// Takes it away from under everybody. It goes with the last process that uses it.
    pub fn detach(&mut self) {
        for place in self.bound.drain(..).chain([self.at.clone()]) {
            run("umount", &["--lazy".as_ref(), place.as_ref()]);
        }
    }

    /// From now on no write returns, until what is given back is dropped, or for `most` at the longest. Fails the test if a write does
    /// return.
    pub fn freeze(&self, most: Duration) -> Frozen<'_> {
        // The thaw is on its way before anything is frozen: nobody who waits in there could be killed.
        let mut thaw = Command::new("sh");
        thaw.args(["-c", "sleep \"$0\"; exec fsfreeze --unfreeze \"$1\"", &most.as_secs().to_string()]).arg(&self.at);
        thaw.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let thaw = thaw.spawn().expect("sh runs");
        run("fsfreeze", &["--freeze".as_ref(), self.at.as_ref()]);
        let witness = Command::new("touch").arg(self.at.join("witness")).spawn().expect("touch runs");
        let mut frozen = Frozen { volume: self, thaw, witness };
        wait::until("a write hangs", Duration::from_secs(5), || frozen.hangs());
        frozen
    }

    /// Fills it up to `left` bytes.
    pub fn fill(&self, left: u64) {
        let mut ballast = fs::metadata(&self.ballast).map_or(0, |found| found.len());
        // Metadata take their part: approached in steps.
        for _ in 0..20 {
            let room = self.room();
            if room <= left + (64 << 10) {
                break;
            }
            ballast += room - left;
            let size = ballast.to_string();
            let _no_room = Command::new("fallocate").args(["-l", &size]).arg(&self.ballast).stderr(Stdio::null()).status();
        }
        assert!(self.room() <= left + (1 << 20), "{} bytes are left in {}", self.room(), self.at.display());
    }

    /// Takes the filling out again.
    pub fn empty(&self) {
        fs::remove_file(&self.ballast).expect("it was filled");
    }

    /// Bytes left in it.
    pub fn room(&self) -> u64 {
        rustix::fs::statvfs(&self.at).map_or(0, |found| found.f_bavail * found.f_frsize)
    }

    /// The kernel finds an error in it, and takes no more writes.
    pub fn break_down(&self) {
        run("mount", &["-o".as_ref(), "remount,errors=remount-ro".as_ref(), self.at.as_ref()]);
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let mine = |line: &&str| line.split(' ').nth(1) == self.at.to_str();
        let device = mounts.lines().find(mine).and_then(|line| line.split(' ').next()).expect("it is mounted");
        let name = device.strip_prefix("/dev/").expect("a device");
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "test").expect("an error is triggered");
        wait::until("it is read-only", Duration::from_secs(5), || match File::create(self.at.join("witness")) {
            Ok(_) => Err("it takes writes".into()),
            Err(_) => Ok(()),
        });
    }
}

/// As long as it lives nothing can be written.
pub struct Frozen<'a> {
    volume: &'a Volume,
    thaw: Child,
    witness: Child,
}

impl Frozen<'_> {
    /// The write that was begun after the freeze has not returned, and cannot be interrupted.
    pub fn hangs(&mut self) -> Result<(), String> {
        match process::look(self.witness.id().cast_signed()).map(|found| found.state) {
            Some('D') => Ok(()),
            other => Err(format!("the witness is in state {other:?}")),
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // Thawed already when it took too long.
        let _thawed = Command::new("fsfreeze").arg("--unfreeze").arg(&self.volume.at).stderr(Stdio::null()).status();
        // The shell and its sleep.
        let group = format!("-{}", self.thaw.id());
        let _ended = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let (_reaped, _touched) = (self.thaw.wait(), self.witness.wait());
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program} runs: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
