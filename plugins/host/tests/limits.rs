//! How soon a hostile guest's call is over, and what hostile guests cost a timer of the agent: measured, printed, and bounded.
//!
//! A busy machine lets every process wait, for a time that has nothing to do with plugins. So how late a sleeping thread is woken at the
//! same time is taken off, medians are judged, and a measurement that was disturbed is made again; all figures are printed. A timer beside
//! hostile guests is compared with one beside an ordinary program that computes: how the kernel shares processors out is not judged.

mod common;

use common::{FakeAgent, fixture};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tanist_broker::{
    Broker, BrokerConfig, BrokerHandle, ClusterFace, EmissionContext, Grants, HostCommand, LoadState, Manifest, PluginConfig,
    Tuning,
    protocol::{Import, Limits, Outcome, PluginId, Source},
};
use tanist_engine::{Callback, Emission, Epoch, Role};

/// Calls per kind of misbehaviour.
const CALLS: usize = 20;
/// Budget of a call.
const WALL: Duration = Duration::from_millis(100);
/// What a guest is asked to do.
const FAULTS: [&str; 15] = [
    "loop",
    "sleep",
    "memory",
    "panic",
    "exit",
    "overflow",
    "log-flood",
    "stderr-flood",
    "request-flood",
    "clock-flood",
    "nap-flood",
    "config-flood",
    "log-huge",
    "huge-error",
    "point",
];
/// What a call may take beyond its budget.
const SLACK: Duration = Duration::from_millis(25);
/// What a timer may be late because of plugins.
const JITTER: Duration = Duration::from_millis(5);

/// Measurements of one process must not disturb each other.
static ALONE: Mutex<()> = Mutex::new(());
/// So often a disturbed measurement is made again.
const ROUNDS: usize = 3;

/// A thread that sleeps for a millisecond again and again: how late a process is woken here, whatever plugins do.
struct Noise {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Noise {
    fn start() -> Self {
        let (worst, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (Arc::clone(&worst), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(Duration::from_millis(1));
                let late = start.elapsed().saturating_sub(Duration::from_millis(1));
                noted.fetch_max(u64::try_from(late.as_nanos()).unwrap(), Ordering::Relaxed);
            }
        });
        Self { worst, stop, thread: Some(thread) }
    }

    /// The worst since the last look.
    fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("min {:?}, median {:?}, p95 {:?}, max {:?} (n={})", at(0), at(50), at(95), at(100), times.len())
}

/// How long `CALLS` calls took, what they were beyond budget and noise, and how they ended.
async fn measure(agent: &mut FakeAgent, noise: &Noise, fault: &str) -> (Vec<Duration>, Vec<Duration>, BTreeSet<&'static str>) {
    let (mut took, mut beyond, mut outcomes) = (Vec::new(), Vec::new(), BTreeSet::new());
    for _ in 0..CALLS {
        noise.worst();
        let story = agent.fault(fault, 100, 10_000).await;
        beyond.push(story.took.saturating_sub(WALL + noise.worst()));
        took.push(story.took);
        outcomes.insert(story.done.outcome.word());
        assert_ne!(story.done.outcome, Outcome::Ok, "{fault}");
    }
    (took, beyond, outcomes)
}

#[test]
fn every_misbehaviour_ends_within_its_budget_and_25_ms() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let noise = Noise::start();
        let mut agent = FakeAgent::start().await;
        agent.load_fixture(Limits { memory_bytes: 16 << 20, ..Limits::default() }).await;
        for fault in FAULTS {
            // An agent that does not answer keeps the guest waiting.
            agent.mute = fault == "point";
            let within = async |agent: &mut FakeAgent| {
                let (mut took, mut beyond, outcomes) = measure(agent, &noise, fault).await;
                println!("{fault:14} {outcomes:?}: {}; beyond budget and noise: {}", spread(&mut took), spread(&mut beyond));
                beyond[CALLS / 2] <= SLACK
            };
            let mut good = false;
            for _ in 0..ROUNDS {
                if !good {
                    good = within(&mut agent).await;
                }
            }
            assert!(good, "{fault} goes on beyond its budget");
            agent.mute = false;
            agent.assert_well().await;
        }
    });
}

/// A plugin that misbehaves in the same way at every call.
fn hostile(fault: &str) -> PluginConfig {
    let manifest = format!("id = \"{fault}\"\nversion = \"1\"\napi = \"tanist:plugin@0.1.0\"\nevents = [\"on_role_change\"]\n");
    let mut manifest = Manifest::parse(&(manifest + "[limits]\ncpu_ms = 200\nwall_ms = 400\n")).unwrap();
    manifest.capabilities = BTreeSet::from(Import::ALL);
    // The fixture imports everything, so it must be granted everything.
    let grants = r#"{"leadership":true,
        "dns":[{"server":"127.0.0.1:53","zone":"example","names":["db.example"]}],
        "http":[{"url":"http://h/","methods":["POST"],"access":"a"}]}"#;
    PluginConfig {
        id: PluginId::from(fault),
        source: Source::Path(fixture()),
        sha256: None,
        manifest,
        grants: serde_json::from_str::<Grants>(grants).unwrap(),
        config: vec![("fault".to_owned(), fault.to_owned())],
        dry_run: false,
    }
}

fn broker(directory: &Path, faults: &[&str]) -> BrokerHandle {
    let cache = directory.join("cache").to_str().unwrap().to_owned();
    let env = vec![(tanist_plugins::CACHE_ENV.to_owned(), cache)];
    Broker::spawn(BrokerConfig {
        cluster: "demo".to_owned(),
        node: "n1".into(),
        host: HostCommand { program: env!("CARGO_BIN_EXE_tanist-plugin-host").into(), env, ..HostCommand::default() },
        journal_dir: directory.join("journal"),
        plugins: faults.iter().map(|fault| hostile(fault)).collect(),
        dns: None,
        http: None,
        // Called again and again, whatever they do.
        tuning: Tuning { breaker_after: u32::MAX, retry_cap: Duration::from_millis(200), ..Tuning::default() },
    })
    .unwrap()
}

/// How late the renewals of a lease of 5 s would be sent by a loop that has one thread and one timer, as the agent's.
fn renewals(span: Duration) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (start, mut late) = (tokio::time::Instant::now(), Vec::new());
        let period = Duration::from_millis(20);
        for turn in 1.. {
            let due = start + period * turn;
            if due > start + span {
                break;
            }
            tokio::time::sleep_until(due).await;
            // tokio's timer has a grain of a millisecond.
            late.push(due.elapsed().saturating_sub(Duration::from_millis(1)));
        }
        late
    })
}

/// The same beside a program that does nothing but compute.
fn beside_a_program() -> Vec<Duration> {
    let mut program = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let late = renewals(Duration::from_secs(3));
    program.kill().unwrap();
    program.wait().unwrap();
    late
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

#[test]
fn hostile_guests_do_not_make_the_timer_of_a_lease_late() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let faults = ["loop", "memory", "panic", "log-flood", "stderr-flood", "request-flood", "nap-flood", "sleep"];
    let idle: Vec<Vec<Duration>> = (0..ROUNDS).map(|_| beside_a_program()).collect();
    let broker = broker(directory.path(), &faults);
    let loaded = || {
        let status = broker.status();
        status.len() == faults.len() && status.iter().all(|plugin| matches!(plugin.load, LoadState::Loaded { .. }))
    };
    let start = Instant::now();
    while !loaded() {
        assert!(start.elapsed() < Duration::from_secs(120), "{:#?}", broker.status());
        thread::sleep(Duration::from_millis(10));
    }
    let emission = Emission { callback: Callback::OnRoleChange, role: Role::Primary, previous: Role::Replica, epoch: Epoch(1) };
    let face = ClusterFace { epoch: Epoch(1), role: Role::Primary, ..ClusterFace::default() };
    broker.emit(EmissionContext { emission, face, timeline: None, lsn: None, cause: "test".to_owned() });
    let p95 = |late: &[Duration]| late[(late.len() - 1) * 95 / 100];
    let good = idle.into_iter().any(|mut idle| {
        let before = cpu();
        let mut busy = renewals(Duration::from_secs(5));
        println!("lateness beside a program that computes: {}", spread(&mut idle));
        println!(
            "lateness beside hostile guests:          {}; the broker computed {:?} of 5 s",
            spread(&mut busy),
            cpu() - before
        );
        p95(&busy) <= p95(&idle) + JITTER
    });
    let failed: Vec<(String, u64)> = broker.status().iter().map(|plugin| (plugin.plugin.0.clone(), plugin.failed)).collect();
    println!("failed calls: {failed:?}");
    assert!(good, "the timer is later beside hostile guests");
    assert!(failed.iter().all(|(_, failed)| *failed >= 1), "not all of them were called: {failed:?}");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(broker.shutdown(Duration::ZERO));
}
