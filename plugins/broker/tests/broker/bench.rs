//! What the broker's tests share: a broker over a fake host, and conditions with deadlines.

use async_trait::async_trait;
use std::{
    collections::BTreeSet,
    env, fs,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tanist_broker::{
    Broker, BrokerConfig, BrokerHandle, ClusterFace, DnsClaim, DnsFailure, DnsGrant, DnsOutcome, DnsPresent, DnsTarget,
    DnsUpdater, EmissionContext, Grants, HostCommand, Leadership, Manifest, Notice, PluginConfig, Runs, Tuning,
    protocol::{Action, DnsRecord, Import, PluginId, RecordKind, Source},
};
use tanist_engine::{Callback, Emission, Endpoint, Epoch, Face, MemberName, Moment, Role, Timeline};
use tokio::sync::broadcast;

/// Longest wait for a condition that is met in milliseconds when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker, its fake host, its fake DNS server.
pub struct Bench {
    pub directory: tempfile::TempDir,
    pub handle: BrokerHandle,
    pub dns: Arc<FakeDns>,
    notices: broadcast::Receiver<Notice>,
    config: BrokerConfig,
}

/// Applies every claim and remembers it.
#[derive(Default)]
pub struct FakeDns {
    pub claims: Mutex<Vec<DnsClaim>>,
}

#[async_trait]
impl DnsUpdater for FakeDns {
    async fn point(&self, claim: DnsClaim, _: Duration) -> DnsOutcome {
        self.claims.lock().unwrap().push(claim);
        DnsOutcome::Applied
    }

    async fn present(&self, _: DnsTarget, _: String, _: Duration) -> Result<DnsPresent, DnsFailure> {
        let claims = self.claims.lock().unwrap();
        let last = claims.last().map(|claim| DnsPresent { epoch: Some(claim.epoch), addresses: claim.addresses.clone() });
        Ok(last.unwrap_or_default())
    }

    async fn lookup(&self, _: DnsTarget, _: String, _: RecordKind, _: Duration) -> Result<Vec<DnsRecord>, DnsFailure> {
        Ok(vec![])
    }
}

pub fn plugin(id: &str, runs: Runs, wall: Duration) -> PluginConfig {
    let manifest = Manifest {
        id: id.to_owned(),
        version: "1".to_owned(),
        runs,
        events: BTreeSet::from([Action::OnRoleChange, Action::OnStop, Action::OnReload]),
        release: false,
        after: BTreeSet::new(),
        capabilities: BTreeSet::from([Import::Log, Import::Dns]),
        limits: tanist_broker::protocol::Limits::default(),
        wall,
        cpu: Duration::from_millis(200),
        interval: Duration::from_secs(3_600),
        on_failure: tanist_broker::OnFailure::Retry,
    };
    let grant = DnsGrant {
        server: "127.0.0.1:53".to_owned(),
        zone: "example.org".to_owned(),
        names: vec!["primary.example.org".to_owned()],
        key: None,
        addresses: vec![],
    };
    PluginConfig {
        id: PluginId::from(id),
        source: Source::Builtin(id.to_owned()),
        sha256: None,
        manifest,
        grants: Grants { dns: vec![grant], ..Grants::default() },
        config: vec![],
        dry_run: false,
    }
}

pub fn fake_host() -> PathBuf {
    example("fake_host")
}

/// A program of `examples/`.
pub fn example(name: &str) -> PathBuf {
    let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
    let path = deps.parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is not built; run `cargo test -p tanist-broker`", path.display());
    path
}

impl Bench {
    pub fn new(plugins: Vec<PluginConfig>, script: &[&str]) -> Self {
        Self::with(plugins, script, |_| {})
    }

    pub fn with(plugins: Vec<PluginConfig>, script: &[&str], change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("script"), script.iter().map(|word| format!("{word}\n")).collect::<String>()).unwrap();
        let dns = Arc::new(FakeDns::default());
        let env = vec![("FAKE_HOST_DIR".to_owned(), directory.path().to_str().unwrap().to_owned())];
        let mut config = BrokerConfig {
            cluster: "main".to_owned(),
            node: "a".into(),
            host: HostCommand { program: fake_host(), env, ..HostCommand::default() },
            journal_dir: directory.path().join("journal"),
            plugins,
            dns: Some(dns.clone()),
            http: None,
            tuning: Tuning::default(),
        };
        change(&mut config);
        let handle = Broker::spawn(config.clone()).unwrap();
        let notices = handle.notices();
        Self { directory, handle, dns, notices, config }
    }

    /// Ends the broker at once, as a crash of the agent would, and starts another over the same files.
    pub fn restart(&mut self) {
        block_on(self.handle.shutdown(Duration::ZERO));
        self.handle = Broker::spawn(self.config.clone()).unwrap();
        self.notices = self.handle.notices();
    }

    pub fn emit(&self, callback: Callback, epoch: u64) {
        let emission = Emission { callback, role: Role::Primary, previous: Role::Replica, epoch: Epoch(epoch) };
        let face = face(epoch, false);
        self.handle.emit(EmissionContext { emission, face, timeline: None, lsn: None, cause: "test".to_owned() });
    }

    pub fn lease(&self, epoch: u64, left: Duration) {
        self.lease_of(Duration::from_secs(60), epoch, left);
    }

    /// A lease of this length, of which so much is left.
    pub fn lease_of(&self, ttl: Duration, epoch: u64, left: Duration) {
        self.handle.leadership(Leadership { epoch: Epoch(epoch), lease_until: Some(now() + left), ttl });
    }

    /// Nobody's, or another node's.
    pub fn no_lease(&self, epoch: u64) {
        self.handle.leadership(Leadership { epoch: Epoch(epoch), ..Leadership::default() });
    }

    /// The next end of a callback (not of a reconcile): its key's action, sequence number, and whether it succeeded.
    pub fn callback(&mut self) -> (Action, u64, bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.notices.try_recv() {
                Ok(notice) => {
                    if let Some(event) = notice.event {
                        return (event.action, event.sequence, notice.outcome == tanist_broker::protocol::Outcome::Ok);
                    }
                }
                Err(broadcast::error::TryRecvError::Empty) => {
                    assert!(Instant::now() < deadline, "no callback ended; status: {:#?}", self.handle.status());
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Lines that the fake host noted.
    pub fn notes(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Callbacks the fake host was called for, without reconciles.
    pub fn called(&self) -> Vec<String> {
        self.notes("calls").into_iter().filter(|line| !line.contains(" reconcile ")).collect()
    }

    pub fn go(&self) {
        fs::write(self.directory.path().join("go"), "").unwrap();
    }

    /// The pid of a host that has loaded every plugin and is done with its first reconcile.
    pub fn host(&self) -> i32 {
        let loaded = |plugin: &tanist_broker::PluginStatus| {
            let settled = !plugin.active || plugin.delivered > 0;
            matches!(plugin.load, tanist_broker::LoadState::Loaded { .. }) && settled && !plugin.running
        };
        wait("a host", || self.handle.status().iter().all(loaded).then(|| self.handle.watch().borrow().host.pid).flatten()) as i32
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        block_on(self.handle.shutdown(Duration::ZERO));
    }
}

pub fn face(epoch: u64, published: bool) -> ClusterFace {
    let me = MemberName::from("a");
    let endpoint = Endpoint { host: IpAddr::from([10, 0, 0, 1]).to_string(), port: 5432 };
    ClusterFace {
        epoch: Epoch(epoch),
        leader: Some(me.clone()),
        primary: published.then_some(Face { epoch: Epoch(epoch), name: me, endpoint, timeline: Timeline(1) }),
        role: Role::Primary,
        members: vec![],
        lsn: None,
    }
}

/// CLOCK_BOOTTIME, as the agent would say it.
pub fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Moment::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Waits for a condition and prints how long it took.
pub fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            println!("{what} after {:?}", start.elapsed());
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
