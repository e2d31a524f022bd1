//! The messages of both directions. Variants are only ever added at the end.

use super::{Action, Denial, Event, Op, Outcome, Reply, View};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// A plugin's id, as in its manifest and in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginId(pub String);

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for PluginId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// A call of a plugin. Never reused within one agent process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// A request of a plugin, numbered by the host; never reused within one host process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// SHA-256 of a component.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// From the agent to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// The first frame. Its encoding never changes.
    Hello {
        /// [`super::VERSION`] of the agent.
        version: u32,
    },
    /// Load a component. Answered by `Loaded` or `LoadFailed`. A second load of the same id replaces the first if it succeeds.
    Load(Load),
    /// Call a plugin. Answered by exactly one `Done`. At most one call per plugin is under way.
    Call(Call),
    /// The answer to a plugin's request.
    Answer {
        /// The call that asked.
        call: CallId,
        /// The request.
        request: RequestId,
        /// What came of it.
        result: Result<Reply, Denial>,
    },
    /// Stop a call: drop its store. Answered by its `Done`.
    Cancel {
        /// Which.
        call: CallId,
    },
    /// Forget a plugin.
    Unload {
        /// Which.
        plugin: PluginId,
    },
    /// Are you there? Answered by `Pong` at once, whatever guests do.
    Ping {
        /// Comes back.
        nonce: u64,
    },
}

/// From the host to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// The first frame. Its encoding never changes.
    Hello {
        /// [`super::VERSION`] of the host.
        version: u32,
    },
    /// A component is ready to be called.
    Loaded(Loaded),
    /// It is not; a component loaded before under the same id stays.
    LoadFailed {
        /// Which.
        plugin: PluginId,
        /// Why.
        failure: LoadFailure,
    },
    /// A running call asks for something.
    Request {
        /// The call that asks.
        call: CallId,
        /// Comes back in the answer.
        request: RequestId,
        /// What it asks for.
        op: Op,
    },
    /// A line that a plugin logged.
    Log {
        /// Whose.
        plugin: PluginId,
        /// In which call; nothing while loading.
        call: Option<CallId>,
        /// How important.
        level: Level,
        /// The line.
        text: String,
    },
    /// A call has ended.
    Done(Done),
    /// The answer to `Ping`.
    Pong {
        /// From the ping.
        nonce: u64,
    },
}

/// A component to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Under which id.
    pub plugin: PluginId,
    /// From where.
    pub source: Source,
    /// The digest the operator pinned; another one is refused.
    pub sha256: Option<Digest>,
    /// What the import `config` answers.
    pub config: Vec<(String, String)>,
    /// What it may use.
    pub limits: Limits,
    /// What it may import.
    pub imports: Vec<Import>,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A file the host can read.
    Path(PathBuf),
    /// Embedded in the host, by name.
    Builtin(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

/// An interface the host can offer to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the interface's name")]
pub enum Import {
    Log,
    Config,
    Leadership,
    Dns,
    Http,
}

impl Import {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Log, Self::Config, Self::Leadership, Self::Dns, Self::Http];

    /// The interface's name in the WIT package.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::Leadership => "leadership",
            Self::Dns => "dns",
            Self::Http => "http",
        }
    }
}

/// An interface a guest can offer to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the interface's name")]
pub enum Export {
    Callbacks,
    Reconcile,
    Gates,
}

impl Export {
    /// The interface's name in the WIT package.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Callbacks => "callbacks",
            Self::Reconcile => "reconcile",
            Self::Gates => "gates",
        }
    }
}

/// What a plugin may use. CPU and wall time come with each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory, all memories together.
    pub memory_bytes: u64,
    /// Elements of all tables together.
    pub table_elements: u32,
    /// Core instances inside the component.
    pub instances: u32,
    /// Stack of the guest.
    pub stack_bytes: u32,
    /// Bytes that cross the border in one host call.
    pub host_call_bytes: u64,
    /// Bytes logged (with standard output and standard error) in one call.
    pub log_bytes: u32,
    /// Requests in one call.
    pub requests: u32,
    /// Time to instantiate and smoke-call it.
    pub load_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            instances: 64,
            stack_bytes: 512 << 10,
            host_call_bytes: 1 << 20,
            log_bytes: 64 << 10,
            requests: 1_000,
            load_ms: 30_000,
        }
    }
}

/// A component that is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Which.
    pub plugin: PluginId,
    /// What it exports of ours.
    pub exports: Vec<Export>,
    /// What it imports, by full name ("tanist:plugin/dns@0.1.0").
    pub imports: Vec<String>,
    /// Its digest.
    pub digest: Digest,
}

/// Why a component was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LoadFailure {
    /// The file cannot be read, or there is no builtin of that name.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Not the pinned component.
    #[error("its sha256 is {found}")]
    WrongDigest {
        /// The digest of what is there.
        found: Digest,
    },
    /// Not a WebAssembly component, or a damaged one.
    #[error("is not a valid component: {0}")]
    Invalid(String),
    /// It imports what it was not granted.
    #[error("imports {import}, which is not granted")]
    NotGranted {
        /// The import, by full name.
        import: String,
    },
    /// It was made for another version of the interface, or exports none of ours.
    #[error("does not fit this host: {0}")]
    Incompatible(String),
    /// It took more than its limits to compile or to instantiate.
    #[error("exceeds its limits: {0}")]
    Limits(String),
    /// The host has a problem of its own.
    #[error("the host failed: {0}")]
    Host(String),
}

/// One call of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its id.
    pub call: CallId,
    /// Whom.
    pub plugin: PluginId,
    /// What for.
    pub work: Work,
    /// Its store is dropped after so long, from the moment the frame is read.
    pub wall_ms: u32,
    /// And after so much computing.
    pub cpu_ms: u32,
}

/// What a plugin is called for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// The callback named by the event's action.
    Callback(Box<Event>),
    /// `reconcile`.
    Reconcile(Box<View>),
    /// Instantiate and do nothing: is it alive?
    Smoke,
}

impl Work {
    /// The callback, where it is one.
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Callback(event) => Some(event.action),
            Self::Reconcile(_) | Self::Smoke => None,
        }
    }
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which call.
    pub call: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// Computing time used.
    pub cpu_us: u64,
    /// Time from call to end.
    pub wall_us: u64,
    /// The last bytes of the guest's standard error.
    pub stderr: String,
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}
