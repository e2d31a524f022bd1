//! A guard with a scripted agent (`examples/driver.rs`) and real PostgreSQL in a directory of its own.

#![allow(dead_code)] // Each test file uses its part.

pub mod psql;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than anything here may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const BIN: &str = "/usr/lib/postgresql/15/bin";

/// The database user when we are root.
pub fn database_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().expect("user postgres exists")
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

pub fn own(path: &Path) {
    if let Some((uid, gid)) = database_user() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn as_database_user(program: &str) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = database_user() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/");
    command
}

/// One initdb for all tests that run at the same time; removed with the last of them.
fn template() -> Arc<TempDir> {
    static TEMPLATE: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut template = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(dir) = template.upgrade() {
        return dir;
    }
    let dir = Arc::new(tempfile::Builder::new().prefix("tanist-guard-template-").tempdir_in("/tmp").unwrap());
    own(dir.path());
    let mut initdb = as_database_user(&format!("{BIN}/initdb"));
    initdb.args(["-A", "trust", "-U", "postgres", "-N", "--no-locale", "-D"]).arg(dir.path().join("data"));
    assert!(initdb.stdout(Stdio::null()).status().unwrap().success());
    *template = Arc::downgrade(&dir);
    dir
}

/// Wait for a condition; panics with `what` when it does not come.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(3));
    }
    began.elapsed()
}

/// State of a process in /proc; `None`: gone.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next()
}

/// Gone, or dead and not reaped yet.
pub fn dead(pid: i32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

pub fn signal(pid: i32, name: &str) {
    assert!(try_signal(pid, name), "no process {pid} to signal");
}

fn try_signal(pid: i32, name: &str) -> bool {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

/// A guard, its agent, and their data directory.
pub struct Node {
    pub dir: TempDir,
    pub guard: Child,
    listener: UnixListener,
    agent: Option<UnixStream>,
    lines: mpsc::Receiver<String>,
    heard: Vec<String>,
    pub agent_pid: i32,
    pub nonce: String,
    _template: Arc<TempDir>,
}

impl Node {
    /// A started guard with a connected agent, a data directory, and no PostgreSQL.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The same, with these variables in the guard's environment. The guard's standard error is kept: [`Node::said`].
    pub fn with(variables: &[(String, String)]) -> Self {
        let dir = tempfile::Builder::new().prefix("tanist-guard-").tempdir_in("/tmp").unwrap();
        own(dir.path());
        let template = template();
        let copied = as_database_user("cp").arg("-a").arg(template.path().join("data")).arg(dir.path()).status().unwrap();
        assert!(copied.success());
        let listener = UnixListener::bind(dir.path().join("agent")).unwrap();
        fs::set_permissions(dir.path().join("agent"), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = guard_command(dir.path(), "state");
        let said = File::create(dir.path().join("said")).unwrap();
        own(&dir.path().join("said"));
        let guard = command.envs(variables.iter().cloned()).stderr(said).spawn().unwrap();
        let (_, lines) = mpsc::channel();
        let mut node = Self {
            dir,
            guard,
            listener,
            agent: None,
            lines,
            heard: Vec::new(),
            agent_pid: 0,
            nonce: String::new(),
            _template: template,
        };
        node.accept();
        node
    }

    /// Take the connection of the (next) agent.
    pub fn accept(&mut self) {
        self.listener.set_nonblocking(true).unwrap();
        let began = Instant::now();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => assert!(began.elapsed() < PATIENCE, "the agent does not connect"),
            }
            thread::sleep(Duration::from_millis(2));
        };
        stream.set_nonblocking(false).unwrap();
        let (sender, lines) = mpsc::channel();
        let reader = BufReader::new(stream.try_clone().unwrap());
        thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        (self.agent, self.lines, self.heard) = (Some(stream), lines, Vec::new());
        let hello = self.expect("hello");
        let field = |name: &str| hello.split(' ').find_map(|word| word.strip_prefix(name)).unwrap().to_owned();
        (self.agent_pid, self.nonce) = (field("pid=").parse().unwrap(), field("nonce="));
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// How many lines of the guard and its agents contain `what`.
    pub fn said(&self, what: &str) -> usize {
        let said = fs::read_to_string(self.dir.path().join("said")).unwrap();
        said.lines().filter(|line| line.contains(what)).count()
    }

    /// From now on every agent that starts ends at once with this code.
    pub fn refuse(&self, code: i32) {
        fs::write(self.dir.path().join("refuse"), code.to_string()).unwrap();
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.agent.as_ref().unwrap(), "{line}").unwrap();
    }

    /// The first line not consumed yet that contains `what`; earlier and later others stay for the next call.
    pub fn expect(&mut self, what: &str) -> String {
        let began = Instant::now();
        loop {
            if let Some(index) = self.heard.iter().position(|line| line.contains(what)) {
                return self.heard.remove(index);
            }
            match self.lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(line) => self.heard.push(line),
                Err(error) => panic!("no line with {what:?} ({error}); heard {:?}", self.heard),
            }
        }
    }

    pub fn ask(&mut self, question: &str, answer: &str) -> String {
        self.tell(question);
        self.expect(answer)
    }

    /// Command line of the server.
    pub fn server(&self) -> String {
        let dir = self.dir.path().display();
        format!(
            "{BIN}/postgres -D {dir}/data -c listen_addresses= -c unix_socket_directories={dir} -c fsync=off -c shared_buffers=16MB \
             -c log_min_messages=warning"
        )
    }

    /// Armed for this epoch with plenty of time.
    pub fn arm(&mut self, epoch: u64) {
        self.ask(&format!("arm {epoch} 120000 120000 3000"), &format!("Armed {{ epoch: {epoch} }}"));
    }

    /// Start as primary and wait until it takes writes. The postmaster's pid.
    pub fn start_primary(&mut self, job: u64, epoch: u64) -> i32 {
        let line = format!("primary {job} {epoch} {}", self.server());
        let pid = self.spawned(&line, job);
        self.wait_writable(true);
        pid
    }

    pub fn start_standby(&mut self, job: u64) -> i32 {
        let line = format!("standby {job} {}", self.server());
        let pid = self.spawned(&line, job);
        self.wait_writable(false);
        pid
    }

    fn spawned(&mut self, line: &str, job: u64) -> i32 {
        let spawned = self.ask(line, &format!("Spawned {{ job: {job}, "));
        spawned.split("pid: ").nth(1).unwrap().trim_end_matches(" }").parse().unwrap()
    }

    pub fn wait_writable(&self, writable: bool) {
        let wanted = if writable { "f" } else { "t" };
        until("PostgreSQL answers", || psql::query(self.dir.path(), "select pg_is_in_recovery()").as_deref() == Some(wanted));
    }

    /// Processes whose working directory is the data directory and that are not dead.
    pub fn workers(&self) -> Vec<i32> {
        let data = self.data();
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data) && !dead(*pid)).collect()
    }

    pub fn guard_pid(&self) -> i32 {
        self.guard.id() as i32
    }

    /// Close the agent's socket; it ends with 0. The guard's exit code.
    pub fn end(&mut self) -> Option<i32> {
        self.hang_up();
        self.exit_code()
    }

    /// The reading thread holds a copy of the socket, so closing ours is not enough. False: there was none.
    fn hang_up(&mut self) -> bool {
        self.agent.take().is_some_and(|agent| agent.shutdown(Shutdown::Both).is_ok())
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        until("the guard ends", || {
            code = self.guard.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code()
    }
}

/// A guard on `dir`/data with this state directory and the driver as its agent.
pub fn guard_command(dir: &Path, state_dir: &str) -> Command {
    let guard = Path::new(env!("CARGO_BIN_EXE_tanist-guard"));
    let driver = driver(&guard.with_file_name("examples").join("driver"), dir);
    let mut command = Command::new(guard);
    command.arg("--data-dir").arg(dir.join("data")).arg("--state-dir").arg(dir.join(state_dir));
    if database_user().is_some() {
        command.args(["--user", "postgres"]);
    }
    command.arg("--").arg(driver).arg(dir.join("agent")).arg(dir.join("data")).current_dir("/");
    command
}

/// The driver, where the database user can execute it: the repository may be in a directory that only root reads.
fn driver(built: &Path, dir: &Path) -> PathBuf {
    if database_user().is_none() {
        return built.to_owned();
    }
    let copy = dir.join("driver");
    if !copy.exists() {
        // By another process: a descriptor of ours that writes it could outlive this in a fork, and then it cannot be executed.
        let copied = Command::new("cp").arg(built).arg(&copy).status().unwrap();
        assert!(copied.success(), "{} cannot be copied", built.display());
    }
    copy
}

impl Drop for Node {
    fn drop(&mut self) {
        let connected = self.hang_up();
        if self.guard.try_wait().is_ok_and(|ended| ended.is_none()) {
            try_signal(self.guard_pid(), "CONT");
            if connected && !dead(self.agent_pid) {
                try_signal(self.agent_pid, "CONT");
            }
            let began = Instant::now();
            while self.guard.try_wait().is_ok_and(|ended| ended.is_none()) {
                if began.elapsed() > Duration::from_secs(10) {
                    let _ = self.guard.kill();
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        // An agent without a guard, in whatever state a failed test left it.
        let command = fs::read(format!("/proc/{}/cmdline", self.agent_pid)).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&*self.dir.path().to_string_lossy()) {
            try_signal(self.agent_pid, "KILL");
        }
    }
}
