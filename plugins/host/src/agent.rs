//! The way to the agent: messages out, and requests that wait for their answer.
//!
//! A message is written at once when the socket takes it, so that a request costs one system call; what does not fit waits in a
//! bounded queue that [`Agent::pump`] empties.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tanist_broker::protocol::{CallId, Denial, Op, Reply, RequestId, ToAgent, encode};
use tokio::{
    net::unix::OwnedWriteHalf,
    sync::{Notify, oneshot},
};

/// Beyond this the agent does not read any more: log lines are left out.
const QUEUE_FOR_LOGS: usize = 1 << 20;

type Answer = Result<Reply, Denial>;

/// The agent, as the host sees it.
#[derive(Debug)]
pub struct Agent {
    socket: OwnedWriteHalf,
    queue: Mutex<VecDeque<u8>>,
    queued: Notify,
    pending: Mutex<HashMap<RequestId, (CallId, oneshot::Sender<Answer>)>>,
    last_request: AtomicU64,
}

impl Agent {
    /// Writes to `socket`.
    pub fn new(socket: OwnedWriteHalf) -> Self {
        Self {
            socket,
            queue: Mutex::default(),
            queued: Notify::new(),
            pending: Mutex::default(),
            last_request: AtomicU64::new(0),
        }
    }

    /// Sends a message. A broken connection is not reported here: the reader of the same socket sees it.
    pub fn send(&self, message: &ToAgent) {
        let mut queue = lock(&self.queue);
        if matches!(message, ToAgent::Log { .. }) && queue.len() > QUEUE_FOR_LOGS {
            return;
        }
        let frame = match encode(message) {
            Ok(frame) => frame,
            Err(error) => {
                // All texts are clipped where they come in, so this is a mistake of ours; the agent's time-out ends the call.
                eprintln!("message to the agent left out: {error}");
                return;
            }
        };
        let written = if queue.is_empty() { self.socket.try_write(&frame).unwrap_or(0) } else { 0 };
        if written < frame.len() {
            queue.extend(&frame[written..]);
            self.queued.notify_one();
        }
    }

    /// Asks for something and waits for the answer, at most `patience`.
    pub(crate) async fn ask(&self, call: CallId, op: Op, patience: Duration) -> Answer {
        let request = RequestId(self.last_request.fetch_add(1, Ordering::Relaxed) + 1);
        let (sender, receiver) = oneshot::channel();
        lock(&self.pending).insert(request, (call, sender));
        let _forget = Forget { agent: self, request };
        self.send(&ToAgent::Request { call, request, op });
        match tokio::time::timeout(patience, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Denial::Expired),
        }
    }

    /// Passes an answer on. One that nobody waits for any more is dropped.
    pub(crate) fn answer(&self, call: CallId, request: RequestId, answer: Answer) {
        let mut pending = lock(&self.pending);
        if pending.get(&request).is_some_and(|(asked, _)| *asked == call)
            && let Some((_, waiting)) = pending.remove(&request)
        {
            // The call may have ended in this very moment.
            let _ = waiting.send(answer);
        }
    }

    /// Writes what did not fit into the socket. Ends only with the connection.
    pub async fn pump(&self) -> io::Error {
        loop {
            self.queued.notified().await;
            while !lock(&self.queue).is_empty() {
                if let Err(error) = self.socket.writable().await {
                    return error;
                }
                let mut queue = lock(&self.queue);
                match self.socket.try_write(queue.as_slices().0) {
                    Ok(written) => drop(queue.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return error,
                }
            }
        }
    }
}

/// Nobody waits for the answer any more once this is dropped, however the call ended.
struct Forget<'a> {
    agent: &'a Agent,
    request: RequestId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.agent.pending).remove(&self.request);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
