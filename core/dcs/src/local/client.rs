//! The client of the embedded store: one connection for calls, made when needed, and one for each watch.

use super::{
    frame::{self, MAX_MESSAGE, MAX_REQUEST},
    protocol::{Answer, Call, Event, Message, Refusal, Request},
};
use crate::{ExpiryId, Listing, Store, StoreError, Txn, TxnAnswer, Watch, WatchEvent};
use async_trait::async_trait;
use futures_util::stream;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tanist_engine::Revision;
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

/// Calls that wait for the socket.
const MAX_QUEUED: usize = 256;

type Waiting = Arc<Mutex<Option<Calls>>>;
/// By number: who gets the answer.
type Calls = HashMap<u64, oneshot::Sender<Result<Answer, Refusal>>>;

/// The embedded store, from an agent's side. Reconnects by itself.
pub struct LocalStore {
    path: PathBuf,
    connection: tokio::sync::Mutex<Option<Connection>>,
}

/// One connection for calls. Its tasks end with it.
struct Connection {
    frames: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    next_id: u64,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
        close(&self.waiting);
    }
}

impl LocalStore {
    /// A client of the server on this socket. Does not connect yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), connection: tokio::sync::Mutex::new(None) }
    }

    async fn connect(&self, deadline: Instant) -> Result<UnixStream, StoreError> {
        let unavailable = |why: String| StoreError::Unavailable(format!("{}: {why}", self.path.display()));
        match timeout_at(deadline, UnixStream::connect(&self.path)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable("no connection in time".to_owned())),
        }
    }

    async fn call(&self, call: Call, timeout: Duration) -> Result<Answer, StoreError> {
        let deadline = Instant::now() + timeout;
        let answer = {
            let mut slot = timeout_at(deadline, self.connection.lock())
                .await
                .map_err(|_| StoreError::Unavailable("no connection in time".to_owned()))?;
            if slot.as_ref().is_none_or(Connection::is_closed) {
                *slot = Some(Connection::new(self.connect(deadline).await?));
            }
            let Some(connection) = slot.as_mut() else { return Err(StoreError::Unavailable("no connection".to_owned())) };
            connection.send(call)?
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(Refusal::ExpiryGone))) => Err(StoreError::ExpiryGone),
            Ok(Ok(Err(Refusal::Refused(why)))) => Err(StoreError::Refused(why)),
            Ok(Err(_)) => Err(StoreError::Unknown("the connection was lost before the answer".to_owned())),
            Err(_) => Err(StoreError::Unknown(format!("no answer within {} ms", timeout.as_millis()))),
        }
    }
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        let (frames, queued) = mpsc::channel(MAX_QUEUED);
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let task = tokio::spawn(converse(stream, queued, waiting.clone())).abort_handle();
        Self { frames, waiting, next_id: 0, task }
    }

    fn is_closed(&self) -> bool {
        lock(&self.waiting).is_none()
    }

    /// Hands the call to the connection's task. From here on its fate is unknown until the answer comes.
    fn send(&mut self, call: Call) -> Result<oneshot::Receiver<Result<Answer, Refusal>>, StoreError> {
        self.next_id += 1;
        let frame = frame::encode(&Request { id: self.next_id, call }, MAX_REQUEST)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let (to, answer) = oneshot::channel();
        match &mut *lock(&self.waiting) {
            // Those who gave up waiting leave their places.
            Some(waiting) => {
                waiting.retain(|_, to| !to.is_closed());
                waiting.insert(self.next_id, to);
            }
            None => return Err(StoreError::Unavailable("the connection was lost".to_owned())),
        }
        match self.frames.try_send(frame) {
            Ok(()) => Ok(answer),
            Err(_) => Err(StoreError::Unavailable("too many calls wait for the socket".to_owned())),
        }
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, Option<Calls>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nobody waits here any more; those who do get "connection lost".
fn close(waiting: &Waiting) {
    *lock(waiting) = None;
}

async fn converse(stream: UnixStream, mut queued: mpsc::Receiver<Vec<u8>>, waiting: Waiting) {
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        while let Some(bytes) = queued.recv().await {
            frame::write(&mut write, &bytes).await?;
        }
        Ok::<_, io::Error>(())
    };
    let reading = async {
        while let Some(message) = frame::read::<Message>(&mut read, MAX_MESSAGE).await? {
            let Message::Answer { id, result } = message else { continue };
            let to = lock(&waiting).as_mut().and_then(|waiting| waiting.remove(&id));
            if let Some(to) = to {
                let _ = to.send(result);
            }
        }
        Ok::<_, io::Error>(())
    };
    let ended = tokio::select! { ended = reading => ended, ended = writing => ended };
    close(&waiting);
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection to the embedded store ended");
    }
}

fn unexpected(answer: &Answer) -> StoreError {
    StoreError::Unknown(format!("an answer to another question: {answer:?}"))
}

#[async_trait]
impl Store for LocalStore {
    async fn list(&self, prefix: &str, timeout: Duration) -> Result<Listing, StoreError> {
        match self.call(Call::List { prefix: prefix.to_owned() }, timeout).await? {
            Answer::Listing { revision, items } => Ok(Listing { revision, items }),
            other => Err(unexpected(&other)),
        }
    }

    async fn txn(&self, txn: Txn, timeout: Duration) -> Result<TxnAnswer, StoreError> {
        match self.call(Call::Txn(txn), timeout).await? {
            Answer::Txn(answer) => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    async fn watch(&self, prefix: &str, from: Revision, timeout: Duration) -> Result<Watch, StoreError> {
        let deadline = Instant::now() + timeout;
        let mut stream = self.connect(deadline).await?;
        let request = Request { id: 0, call: Call::Watch { prefix: prefix.to_owned(), from } };
        let frame = frame::encode(&request, MAX_REQUEST).map_err(|error| StoreError::Refused(error.to_string()))?;
        let begun = async {
            frame::write(&mut stream, &frame).await?;
            frame::read::<Message>(&mut stream, MAX_MESSAGE).await
        };
        let first = match timeout_at(deadline, begun).await {
            Ok(Ok(message)) => event(Ok(message)),
            Ok(Err(error)) => return Err(StoreError::Unavailable(error.to_string())),
            Err(_) => return Err(StoreError::Unavailable("the watch did not begin in time".to_owned())),
        };
        let begun = (Some(stream), Some(first));
        Ok(Box::pin(stream::unfold(begun, |(mut stream, first)| async move {
            let event = match (first, &mut stream) {
                (Some(first), _) => first,
                (None, Some(stream)) => event(frame::read(stream, MAX_MESSAGE).await),
                (None, None) => return None,
            };
            let last = matches!(event, WatchEvent::Compacted | WatchEvent::Lost(_));
            Some((event, (stream.filter(|_| !last), None)))
        })))
    }

    async fn grant(&self, ttl: Duration, timeout: Duration) -> Result<ExpiryId, StoreError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).div_ceil(1000).saturating_mul(1000);
        match self.call(Call::Grant { ttl_ms }, timeout).await? {
            Answer::Granted(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    async fn keep_alive(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError> {
        self.call(Call::KeepAlive(id), timeout).await.map(drop)
    }

    async fn revoke(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError> {
        self.call(Call::Revoke(id), timeout).await.map(drop)
    }
}

fn event(message: io::Result<Option<Message>>) -> WatchEvent {
    match message {
        Ok(Some(Message::Event(Event::Changes { revision, changes }))) => WatchEvent::Changes { revision, changes },
        Ok(Some(Message::Event(Event::Progress(revision)))) => WatchEvent::Progress(revision),
        Ok(Some(Message::Event(Event::Compacted))) => WatchEvent::Compacted,
        Ok(Some(Message::Answer { .. })) => WatchEvent::Lost("the server answered instead of watching".to_owned()),
        Ok(None) => WatchEvent::Lost("the server closed the connection".to_owned()),
        Err(error) => WatchEvent::Lost(error.to_string()),
    }
}
