//! The agent's part, played by the tests: the other end of the socket, with answers to whatever a guest asks.

#![allow(dead_code, reason = "each test file uses its share")]

use std::{
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tanist_broker::protocol::{
    Action, Call, CallId, Denial, DnsPointed, Done, Event, FrameReader, FrameWriter, HttpRequest, HttpResponse, Import,
    LeadershipState, Limits, Load, LoadFailure, Loaded, Member, Op, Outcome, PluginId, Primary, Reply, Role, Source, ToAgent,
    ToHost, VERSION, View, Work,
};
use tanist_plugins::{Compiler, Loader, Sandbox, ServeError, serve};
use tokio::net::{
    UnixStream,
    unix::{OwnedReadHalf, OwnedWriteHalf},
};

/// The epoch at which the fake agent leads.
pub const EPOCH: u64 = 9;
/// Everything there is to grant.
pub const ALL: [Import; 5] = Import::ALL;
/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hostile guest, built once per test process (Cargo's own lock keeps processes apart).
pub fn fixture() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
        let target = Path::new(env!("TANIST_GUESTS_TARGET_DIR"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2", "--target-dir"]).arg(target);
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(variable);
        }
        assert!(cargo.current_dir(guest).status().unwrap().success(), "the fixture cannot be built");
        target.join("wasm32-wasip2/release/fixtures.wasm")
    };
    BUILT.get_or_init(build).clone()
}

/// The hostile guest with one name replaced by another of the same length everywhere: what a guest made from another WIT looks like.
pub fn forged(directory: &Path, from: &str, to: &str) -> Source {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(fixture()).unwrap();
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "the fixture does not contain {from}");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = directory.join("forged.wasm");
    std::fs::write(&path, bytes).unwrap();
    Source::Path(path)
}

/// A loader whose cache all tests of this build share.
pub fn loader() -> Loader {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
    Loader::new(Sandbox::start().unwrap(), Some(cache), compiler()).unwrap()
}

pub fn compiler() -> Compiler {
    Compiler::at(env!("CARGO_BIN_EXE_tanist-plugin-host"))
}

/// What a call did besides ending.
#[derive(Debug)]
pub struct Story {
    pub done: Done,
    pub requests: Vec<Op>,
    pub lines: Vec<String>,
    /// From the call to its end, as the agent sees it.
    pub took: Duration,
}

/// The agent's end of a conversation.
pub struct FakeAgent {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    host: Option<JoinHandle<Result<(), ServeError>>>,
    calls: u64,
    /// Leave requests unanswered.
    pub mute: bool,
}

impl FakeAgent {
    /// A host in a thread of this process.
    pub async fn start() -> Self {
        Self::start_with(loader()).await
    }

    pub async fn start_with(loader: Loader) -> Self {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let host = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(theirs, loader))
        });
        Self::greet(ours, Some(host)).await
    }

    /// The agent of a host that is already at the other end.
    pub async fn greet(socket: StdUnixStream, host: Option<JoinHandle<Result<(), ServeError>>>) -> Self {
        socket.set_nonblocking(true).unwrap();
        let (read, write) = UnixStream::from_std(socket).unwrap().into_split();
        let mut agent = Self { reader: FrameReader::new(read), writer: FrameWriter::new(write), host, calls: 0, mute: false };
        agent.send(&ToHost::Hello { version: VERSION }).await;
        assert_eq!(agent.next().await, ToAgent::Hello { version: VERSION });
        agent
    }

    /// Hangs up and waits for the host's end.
    pub fn hang_up(mut self) -> Result<(), ServeError> {
        let host = self.host.take().expect("a host in this process");
        drop(self);
        host.join().unwrap()
    }

    pub async fn send(&mut self, message: &ToHost) {
        self.writer.send(message).await.unwrap();
    }

    pub async fn next(&mut self) -> ToAgent {
        tokio::time::timeout(PATIENCE, self.reader.next()).await.expect("the host is silent").unwrap().expect("the host hung up")
    }

    pub async fn load(&mut self, source: Source, imports: &[Import], limits: Limits) -> Result<Loaded, LoadFailure> {
        let config = vec![("name".to_owned(), "db.example.".to_owned()), ("mode".to_owned(), "test".to_owned())];
        let load = Load { plugin: id(), source, sha256: None, config, limits, imports: imports.to_vec() };
        self.send(&ToHost::Load(load)).await;
        loop {
            match self.next().await {
                ToAgent::Loaded(loaded) => return Ok(loaded),
                ToAgent::LoadFailed { failure, .. } => return Err(failure),
                _ => {}
            }
        }
    }

    /// Loads the hostile guest.
    pub async fn load_fixture(&mut self, limits: Limits) {
        self.load(Source::Path(fixture()), &ALL, limits).await.unwrap();
    }

    /// Starts a call and returns its id.
    pub async fn begin(&mut self, work: Work, wall_ms: u32, cpu_ms: u32) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.send(&ToHost::Call(Call { call, plugin: id(), work, wall_ms, cpu_ms })).await;
        call
    }

    /// Answers what `call` asks until it ends.
    pub async fn follow(&mut self, call: CallId) -> Story {
        let since = Instant::now();
        let (mut requests, mut lines) = (Vec::new(), Vec::new());
        loop {
            match self.next().await {
                ToAgent::Done(done) if done.call == call => return Story { done, requests, lines, took: since.elapsed() },
                ToAgent::Log { text, .. } => lines.push(text),
                ToAgent::Request { call, request, op } => {
                    let result = answer(&op);
                    requests.push(op);
                    if !self.mute {
                        self.send(&ToHost::Answer { call, request, result }).await;
                    }
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// One call of the loaded plugin, from beginning to end.
    pub async fn call(&mut self, work: Work, wall_ms: u32, cpu_ms: u32) -> Story {
        let call = self.begin(work, wall_ms, cpu_ms).await;
        self.follow(call).await
    }

    /// Lets the hostile guest do what `fault` says.
    pub async fn fault(&mut self, fault: &str, wall_ms: u32, cpu_ms: u32) -> Story {
        self.call(role_change(fault), wall_ms, cpu_ms).await
    }

    /// The guest must be well after whatever was before.
    pub async fn assert_well(&mut self) {
        let story = self.fault("good", 5_000, 5_000).await;
        assert_eq!(story.done.outcome, Outcome::Ok, "{story:?}");
        assert_eq!(story.lines, [format!("good at epoch {EPOCH}, mode Some(\"test\")")]);
    }
}

fn answer(op: &Op) -> Result<Reply, Denial> {
    match op {
        Op::Leadership => Ok(Reply::Leadership(LeadershipState { epoch: EPOCH, lease_left_ms: Some(5_000) })),
        Op::DnsPoint { epoch, .. } if *epoch < EPOCH => Err(Denial::Fenced { newer_epoch: EPOCH }),
        Op::DnsPoint { .. } => Ok(Reply::DnsPoint(DnsPointed::Applied)),
        Op::DnsLookup { .. } => Ok(Reply::DnsLookup(Vec::new())),
        Op::Http { requests } => {
            let headers = vec![("x-server".to_owned(), "test".to_owned())];
            let answer = |request: &HttpRequest| match request.method.as_str() {
                "PUT" => Err(Denial::Unknown("lost".to_owned())),
                _ => Ok(HttpResponse { status: 200, headers: headers.clone(), body: request.body.clone() }),
            };
            Ok(Reply::Http(requests.iter().map(answer).collect()))
        }
    }
}

pub fn id() -> PluginId {
    PluginId::from("tested")
}

/// The node became primary; `cause` is the hostile guest's order.
pub fn role_change(cause: &str) -> Work {
    Work::Callback(Box::new(event(Action::OnRoleChange, Role::Primary, cause)))
}

pub fn event(action: Action, role: Role, cause: &str) -> Event {
    Event {
        cluster: "demo".to_owned(),
        node: "n1".to_owned(),
        epoch: EPOCH,
        sequence: 7,
        idempotency_key: "n1-7".to_owned(),
        action,
        role,
        previous_role: Role::Replica,
        leader: Some("n1".to_owned()),
        previous_leader: Some("n2".to_owned()),
        timeline: Some(3),
        lsn: Some(0x16_B374_D848),
        members: members(),
        cause: cause.to_owned(),
        dry_run: false,
        attributes: Vec::new(),
    }
}

pub fn view(primary: Option<Primary>, cause: &str) -> Work {
    Work::Reconcile(Box::new(View {
        cluster: "demo".to_owned(),
        node: "n1".to_owned(),
        epoch: EPOCH,
        primary,
        members: members(),
        cause: cause.to_owned(),
        ..View::default()
    }))
}

pub fn primary() -> Primary {
    Primary { name: "n1".to_owned(), host: "192.0.2.1".to_owned(), port: 5432, epoch: EPOCH, timeline: 3 }
}

fn members() -> Vec<Member> {
    let member = |name: &str, host: &str, role| Member {
        name: name.to_owned(),
        host: host.to_owned(),
        port: 5432,
        role,
        state: "running".to_owned(),
        ..Member::default()
    };
    vec![member("n1", "192.0.2.1", Role::Primary), member("n2", "192.0.2.2", Role::Replica), member("n3", "", Role::Replica)]
}
