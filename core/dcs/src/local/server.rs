//! The embedded store's socket: accepts, reads requests, writes answers. The state lies in [`super::engine`].

use super::{
    engine::{Engine, Job},
    frame::{self, MAX_REQUEST},
    log::Log,
    protocol::Request,
    state::State,
};
use std::{
    future::Future,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
};
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 512;
/// Requests that wait for the state.
const MAX_WAITING: usize = 4096;
/// Messages that wait for one client; more than the history a watch can begin with.
const MAX_OUTGOING: usize = 8192;

/// Why the embedded store cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Another server answers on the socket.
    #[error("{0}: another server answers here")]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error("{0}: {1}")]
    Socket(PathBuf, #[source] io::Error),
    /// The state file cannot be read or written.
    #[error("state file {0}: {1}")]
    State(PathBuf, #[source] io::Error),
}

/// A bound server; [`Server::run`] serves.
pub struct Server {
    path: PathBuf,
    listener: UnixListener,
    jobs: SyncSender<Job>,
    /// How the engine's thread ended.
    ended: oneshot::Receiver<io::Result<()>>,
    state_file: PathBuf,
}

/// Binds and serves until `shutdown` is ready. Without a state file the state lives in memory only.
pub async fn serve(path: &Path, state_file: Option<&Path>, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    Server::bind(path, state_file)?.run(shutdown).await
}

impl Server {
    /// Reads the state and binds the socket. A socket nobody answers on is replaced.
    pub fn bind(path: &Path, state_file: Option<&Path>) -> Result<Self, ServeError> {
        let socket = |error| ServeError::Socket(path.to_owned(), error);
        let (log, state) = match state_file {
            Some(file) => {
                let (log, state) = Log::open(file).map_err(|error| ServeError::State(file.to_owned(), error))?;
                (Some(log), state)
            }
            None => (None, State::default()),
        };
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(ServeError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(socket)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(socket)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(socket)?;
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let (end, ended) = oneshot::channel();
        let engine = Engine::new(state, log);
        std::thread::Builder::new()
            .name("tanist-local".to_owned())
            .spawn(move || {
                let _ = end.send(engine.run(&waiting));
            })
            .map_err(socket)?;
        let state_file = state_file.unwrap_or(path).to_owned();
        Ok(Self { path: path.to_owned(), listener, jobs, ended, state_file })
    }

    /// Serves until `shutdown` is ready or the disk fails. Connections end with it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { path, listener, jobs, mut ended, state_file } = self;
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        let result = loop {
            tokio::select! {
                () = &mut shutdown => break Ok(()),
                end = &mut ended => {
                    let error = match end {
                        Ok(Err(error)) => error,
                        Ok(Ok(())) | Err(_) => io::Error::other("the state's thread ended"),
                    };
                    // Nothing was answered that is not on disk; whoever waits gets no answer.
                    let _ = std::fs::remove_file(&path);
                    return Err(ServeError::State(state_file, error));
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                        connections.spawn(connection(stream, jobs.clone()));
                    }
                    Ok(_) => tracing::warn!(limit = MAX_CONNECTIONS, "too many connections to the embedded store"),
                    Err(error) => {
                        tracing::warn!(%error, "accepting a connection failed");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        };
        let _ = std::fs::remove_file(&path);
        connections.shutdown().await;
        drop(jobs);
        let _ = ended.await;
        result
    }
}

async fn connection(stream: UnixStream, jobs: SyncSender<Job>) {
    let (mut read, mut write) = stream.into_split();
    let (to, mut outgoing) = mpsc::channel::<Vec<u8>>(MAX_OUTGOING);
    let reading = async move {
        // The engine keeps a sender for as long as it watches for this client; this one goes with the reading end.
        while let Some(request) = frame::read::<Request>(&mut read, MAX_REQUEST).await? {
            let watches = matches!(request.call, super::protocol::Call::Watch { .. });
            match jobs.try_send(Job { request, to: to.clone() }) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => return Err(io::Error::other("too many requests wait")),
                Err(TrySendError::Disconnected(_)) => return Err(io::Error::other("the store has ended")),
            }
            if watches {
                // Only the engine may keep the outgoing queue open from here on, so that dropping a slow watcher closes the socket.
                drop(to);
                let mut rest = [0];
                let _ = tokio::io::AsyncReadExt::read(&mut read, &mut rest).await;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok::<_, io::Error>(())
    };
    let writing = async move {
        while let Some(bytes) = outgoing.recv().await {
            frame::write(&mut write, &bytes).await?;
        }
        Ok::<_, io::Error>(())
    };
    let ended = tokio::select! { ended = reading => ended, ended = writing => ended };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the embedded store ended");
    }
}
