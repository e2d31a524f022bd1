//! `tanist demo` as a user runs it: it ends well, and nothing of it is left, also when it is interrupted at any moment.

use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};
use tanist_tests::{process, wait};

/// There is one demo at a time on a machine; the tests of this file take turns.
static TURN: Mutex<()> = Mutex::new(());
/// A whole demo, on a busy machine.
const STORY: Duration = Duration::from_secs(240);
/// From a signal to the end of the demo.
const END: Duration = Duration::from_secs(20);

fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let staged = std::env::var_os("TANIST_BIN").map_or_else(|| root.join("target/bin"), PathBuf::from);
    let program = staged.join("tanist");
    assert!(program.is_file(), "{} is missing: run scripts/stage first (make test does)", program.display());
    program
}

/// A running demo.
struct Demo {
    child: Child,
    directory: PathBuf,
    /// Everything it printed, once it is asked for.
    output: std::thread::JoinHandle<String>,
    /// Everything that was ever seen below it.
    seen: BTreeSet<i32>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.arg("demo").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the demo starts");
        let directory = PathBuf::from(format!("/tmp/tanist-demo-{}", child.id()));
        let output = BufReader::new(child.stdout.take().expect("its output"));
        // Read all the time: a full pipe would hold it up.
        let output = std::thread::spawn(move || {
            let mut text = String::new();
            for line in output.lines().map_while(Result::ok) {
                println!("    | {line}");
                text += &format!("{line}\n");
            }
            text
        });
        Self { child, directory, output, seen: BTreeSet::new() }
    }

    fn look(&mut self) {
        let pid = self.child.id().cast_signed();
        self.seen.extend(process::tree(pid).iter().map(|seen| seen.pid).filter(|below| *below != pid));
    }

    /// Its exit code.
    fn ended(&mut self, limit: Duration) -> i32 {
        let begun = Instant::now();
        loop {
            self.look();
            if let Some(status) = self.child.try_wait().expect("the demo is our child") {
                return status.code().expect("it ends by itself, not by a signal");
            }
            if begun.elapsed() > limit {
                process::signal(self.child.id().cast_signed(), Signal::TERM);
                panic!("the demo has not ended within {limit:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Nothing is left: no process that was below it or works in its directory, no directory, no lock.
    fn nothing_is_left(self) -> String {
        let Self { directory, output, seen, .. } = self;
        let text = output.join().expect("its output");
        let alive: Vec<_> =
            seen.iter().filter_map(|pid| process::look(*pid)).filter(|left| works_in(left.pid, &directory)).collect();
        assert!(alive.is_empty(), "processes of the demo are left: {alive:?}");
        let strangers = at_work(&directory);
        assert!(strangers.is_empty(), "processes work in {}: {strangers:?}", directory.display());
        assert!(!directory.exists(), "{} is left", directory.display());
        let mounts = fs::read_to_string("/proc/mounts").expect("/proc/mounts");
        assert!(!mounts.contains(&*directory.to_string_lossy()), "a mount is left:\n{mounts}");
        let sockets = fs::read_to_string("/proc/net/unix").expect("/proc/net/unix");
        assert!(!sockets.lines().any(|line| line.ends_with("@tanist-demo")), "the lock is left");
        text
    }
}

/// Processes with a path, a working directory or an argument in `directory`.
fn at_work(directory: &Path) -> Vec<process::Process> {
    process::all().into_iter().filter(|found| works_in(found.pid, directory)).collect()
}

fn works_in(pid: i32, directory: &Path) -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let named = String::from_utf8_lossy(&line).contains(&*directory.to_string_lossy());
    named || [link("cwd"), link("exe")].iter().any(|path| path.starts_with(directory))
}

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The whole story: three faults, both names move each time, every acknowledged row is found.
#[test]
fn the_story_ends_well_and_leaves_nothing() {
    let _turn = turn();
    let mut demo = Demo::start(&[]);
    assert_eq!(demo.ended(STORY), 0, "the exit code");
    assert!(demo.seen.len() > 20, "only {} processes were seen below it: the look for remains means nothing", demo.seen.len());
    let text = demo.nothing_is_left();
    assert_eq!(text.matches("write gap ").count(), 3, "three faults are reported:\n{text}");
    assert_eq!(text.matches("acknowledged, lost         0").count(), 3, "nothing is lost:\n{text}");
}

/// Interrupted in setup, while the database is made, while it is copied, during a failover, and without any delay.
#[test]
fn an_interrupted_demo_leaves_nothing() {
    let _turn = turn();
    let moments = [
        // A shell that starts this in the background lets its children ignore SIGINT until they ask for it: not these two.
        (5, Signal::TERM),
        (60, Signal::TERM),
        (300, Signal::TERM),
        (2_000, Signal::INT),
        (6_500, Signal::HUP),
        (9_000, Signal::INT),
        (12_000, Signal::INT),
    ];
    for (millis, signal) in moments {
        println!("  {signal:?} after {millis} ms");
        let mut demo = Demo::start(&[]);
        let begun = Instant::now();
        // The moment is the test's input, not what it waits for.
        while begun.elapsed() < Duration::from_millis(millis) {
            demo.look();
            std::thread::sleep(Duration::from_millis(2));
        }
        process::signal(demo.child.id().cast_signed(), signal);
        let status = wait::until("the demo has ended", END, || {
            demo.look();
            demo.child.try_wait().ok().flatten().ok_or_else(|| "it runs".to_owned())
        });
        assert!(!status.success(), "an interrupted demo has not shown what it should: {status}");
        demo.nothing_is_left();
    }
}

/// A kept cluster outlives the demo, can be used as printed, and `--stop` removes all of it, also what lost its parent.
#[test]
fn a_kept_cluster_runs_on_until_it_is_stopped() {
    let _turn = turn();
    let mut demo = Demo::start(&["--keep"]);
    assert_eq!(demo.ended(STORY), 0, "the exit code");
    let (directory, pids) = (demo.directory.clone(), demo.seen.clone());
    let text = demo.output.join().expect("its output");
    for part in ["psql \"host=primary.demo.tanist.example hostaddr=127.0.", "dig @127.", "demo --stop /tmp/tanist-demo-"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let servers = at_work(&directory).into_iter().filter(|found| found.name == "postgres").count();
    assert!(servers > 3, "three servers run on: {servers}");
    // A guard that is gone leaves an agent without a parent.
    let guard = at_work(&directory).into_iter().find(|found| found.name == "tanist-guard").expect("a guard");
    process::kill(guard.pid);
    let stop = |directory: &OsStr| Command::new(program()).args(["demo", "--stop"]).arg(directory).status().expect("it runs");
    assert_eq!(stop(OsStr::new("/tmp")).code(), Some(2), "nothing but a demo is removed");
    assert!(stop(directory.as_os_str()).success());
    assert!(!directory.exists(), "{} is left", directory.display());
    assert!(at_work(&directory).is_empty(), "processes are left: {:?}", at_work(&directory));
    let left: Vec<_> = pids.iter().filter_map(|pid| process::look(*pid)).filter(|left| works_in(left.pid, &directory)).collect();
    assert!(left.is_empty(), "processes are left: {left:?}");
}

/// Two demos would measure each other.
#[test]
fn a_second_demo_waits_for_nothing_and_touches_nothing() {
    let _turn = turn();
    let mut first = Demo::start(&[]);
    wait::until("the first one has begun", Duration::from_secs(10), || {
        first.look();
        if first.directory.join("processes.json").is_file() { Ok(()) } else { Err("no process yet".into()) }
    });
    let mut second = Demo::start(&[]);
    assert_eq!(second.ended(END), 3, "the exit code");
    assert!(!second.directory.exists(), "{} is left", second.directory.display());
    assert!(first.child.try_wait().expect("our child").is_none(), "the first one goes on");
    process::signal(first.child.id().cast_signed(), Signal::INT);
    first.ended(END);
    first.nothing_is_left();
}
