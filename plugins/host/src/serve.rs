//! The conversation with the agent: one loop that reads, one task per load or call.

use crate::{Agent, Loader, Plugin};
use std::{
    collections::HashMap,
    io,
    os::unix::net::UnixStream as StdUnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tanist_broker::protocol::{
    Call, CallId, Done, FrameError, FrameReader, Load, LoadFailure, Outcome, PluginId, ToAgent, ToHost, VERSION,
};
use tokio::{net::UnixStream, sync::oneshot};

/// Plugins at once.
const MAX_PLUGINS: usize = 64;
/// Calls and loads at once.
const MAX_RUNNING: usize = 128;

/// Why the conversation ended before the agent hung up.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket.
    #[error("connection to the agent: {0}")]
    Io(#[from] io::Error),
    /// Something that is no message.
    #[error("from the agent: {0}")]
    Frame(#[from] FrameError),
    /// Agent and host are not of one build.
    #[error("the agent speaks version {0} of the protocol, this host speaks {VERSION}; install both from one release")]
    Version(u32),
    /// The first message was not a greeting.
    #[error("the agent did not greet")]
    NoHello,
}

/// Serves one agent until it hangs up. Runs in the current (single-threaded) runtime; guests never block it for longer than a tick.
pub async fn serve(socket: StdUnixStream, loader: Loader) -> Result<(), ServeError> {
    socket.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(socket)?.into_split();
    let agent = Arc::new(Agent::new(write));
    agent.send(&ToAgent::Hello { version: VERSION });
    let host = Arc::new(Host { agent: Arc::clone(&agent), loader, plugins: Mutex::default(), running: Mutex::default() });
    let ended = tokio::select! {
        ended = host.listen(FrameReader::new(read)) => ended,
        error = agent.pump() => Err(error.into()),
    };
    match ended {
        // The agent died with messages unread; an end like any other.
        Err(ServeError::Io(error) | ServeError::Frame(FrameError::Io(error))) if hung_up(&error) => Ok(()),
        ended => ended,
    }
}

fn hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

struct Host {
    agent: Arc<Agent>,
    loader: Loader,
    plugins: Mutex<HashMap<PluginId, Arc<Plugin>>>,
    running: Mutex<HashMap<CallId, oneshot::Sender<()>>>,
}

impl Host {
    async fn listen(self: &Arc<Self>, mut frames: FrameReader<tokio::net::unix::OwnedReadHalf>) -> Result<(), ServeError> {
        match frames.next().await? {
            Some(ToHost::Hello { version: VERSION }) => {}
            Some(ToHost::Hello { version }) => return Err(ServeError::Version(version)),
            Some(_) => return Err(ServeError::NoHello),
            None => return Ok(()),
        }
        while let Some(message) = frames.next().await? {
            self.handle(message);
        }
        Ok(())
    }

    fn handle(self: &Arc<Self>, message: ToHost) {
        match message {
            ToHost::Ping { nonce } => self.agent.send(&ToAgent::Pong { nonce }),
            ToHost::Answer { call, request, result } => self.agent.answer(call, request, result),
            ToHost::Load(load) => {
                let host = Arc::clone(self);
                tokio::spawn(async move { host.load(load).await });
            }
            ToHost::Call(call) => self.start(call),
            ToHost::Cancel { call } => {
                if let Some(cancel) = lock(&self.running).remove(&call) {
                    // The call may have ended in this very moment.
                    let _ = cancel.send(());
                }
            }
            ToHost::Unload { plugin } => {
                lock(&self.plugins).remove(&plugin);
            }
            // A second greeting says nothing new.
            ToHost::Hello { .. } => {}
        }
    }

    async fn load(&self, load: Load) {
        let id = load.plugin.clone();
        let full = {
            let plugins = lock(&self.plugins);
            plugins.len() >= MAX_PLUGINS && !plugins.contains_key(&id)
        };
        let result = if full {
            Err(LoadFailure::Limits(format!("more than {MAX_PLUGINS} plugins")))
        } else {
            self.loader.load(load, Arc::clone(&self.agent)).await
        };
        match result {
            Ok((plugin, loaded)) => {
                lock(&self.plugins).insert(id, Arc::new(plugin));
                self.agent.send(&ToAgent::Loaded(loaded));
            }
            Err(failure) => self.agent.send(&ToAgent::LoadFailed { plugin: id, failure }),
        }
    }

    fn start(self: &Arc<Self>, call: Call) {
        let (since, id) = (Instant::now(), call.call);
        let end = |outcome| Done { call: id, outcome, cpu_us: 0, wall_us: 0, stderr: String::new() };
        let Some(plugin) = lock(&self.plugins).get(&call.plugin).cloned() else {
            return self.agent.send(&ToAgent::Done(end(Outcome::NotLoaded)));
        };
        let (cancel, cancelled) = oneshot::channel();
        {
            let mut running = lock(&self.running);
            if running.len() >= MAX_RUNNING || running.contains_key(&id) {
                return self
                    .agent
                    .send(&ToAgent::Done(end(Outcome::Host(format!("more than {MAX_RUNNING} calls, or one id twice")))));
            }
            running.insert(id, cancel);
        }
        let host = Arc::clone(self);
        tokio::spawn(async move {
            let (done, remains) = plugin.call(call, since, cancelled).await;
            lock(&host.running).remove(&id);
            host.agent.send(&ToAgent::Done(done));
            // Let the end go out before anything that takes time.
            tokio::task::yield_now().await;
            drop(remains);
            plugin.warm_up().await;
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
