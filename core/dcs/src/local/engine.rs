//! The thread that owns the embedded store's state: takes what has queued up, carries it out, syncs once, then answers.

use super::{
    frame::{MAX_MESSAGE, encode},
    log::Log,
    protocol::{Call, Event, Message, Refusal, Request},
    state::{Entry, State, event},
};
use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};
use tanist_engine::Revision;
use tokio::sync::mpsc::Sender;

/// Requests that share one sync.
const BATCH: usize = 256;
/// A watch with nothing to tell gives a sign of life this often.
const PROGRESS: Duration = Duration::from_secs(1);

/// One request and where its answer goes (whole frames).
pub(super) struct Job {
    pub request: Request,
    pub to: Sender<Vec<u8>>,
}

struct Watcher {
    prefix: String,
    to: Sender<Vec<u8>>,
}

/// See the module.
pub(super) struct Engine {
    state: State,
    log: Option<Log>,
    watchers: Vec<Watcher>,
    signs: Instant,
}

impl Engine {
    pub(super) fn new(state: State, log: Option<Log>) -> Self {
        Self { state, log, watchers: Vec::new(), signs: Instant::now() }
    }

    /// Works until nobody can ask any more, or the disk fails.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let next = self.state.next_end().map_or(self.signs + PROGRESS, |end| end.min(self.signs + PROGRESS));
            let mut batch = Vec::new();
            match jobs.recv_timeout(next.saturating_duration_since(now)) {
                Ok(job) => batch.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            while batch.len() < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            self.turn(batch)?;
        }
    }

    fn turn(&mut self, batch: Vec<Job>) -> io::Result<()> {
        let now = Instant::now();
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        let mut watches = Vec::new();
        self.state.expire(now, &mut entries);
        for Job { request, to } in batch {
            match request.call {
                Call::Watch { prefix, from } => watches.push((prefix, from, to)),
                call => {
                    let result = self.state.call(call, now, &mut entries);
                    answers.push((to, request.id, result));
                }
            }
        }
        if let Some(log) = &mut self.log
            && !entries.is_empty()
        {
            log.append(&entries)?;
            log.trim(&self.state)?;
        }
        for (to, id, result) in answers {
            let frame = encode(&Message::Answer { id, result }, MAX_MESSAGE).or_else(|error| {
                encode(&Message::Answer { id, result: Err(Refusal::Refused(error.to_string())) }, MAX_MESSAGE)
            })?;
            // A client that does not read is cut off by its connection, it must not stop the others.
            let _ = to.try_send(frame);
        }
        self.tell(&entries)?;
        for (prefix, from, to) in watches {
            self.begin_watch(prefix, from, to)?;
        }
        if now.saturating_duration_since(self.signs) >= PROGRESS {
            self.signs = now;
            let frame = encode(&Message::Event(Event::Progress(self.state.revision())), MAX_MESSAGE)?;
            self.watchers.retain(|watcher| watcher.to.try_send(frame.clone()).is_ok());
        }
        Ok(())
    }

    /// Sends each watcher its part. One that is too slow loses its connection, and with it the watch.
    fn tell(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            let Entry::Commit { revision, changes } = entry else { continue };
            let mut failure = None;
            self.watchers.retain(|watcher| match event(&watcher.prefix, *revision, changes) {
                None => true,
                Some(event) => match encode(&Message::Event(event), MAX_MESSAGE) {
                    Ok(frame) => watcher.to.try_send(frame).is_ok(),
                    Err(error) => {
                        failure = Some(error);
                        false
                    }
                },
            });
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }

    fn begin_watch(&mut self, prefix: String, from: Revision, to: Sender<Vec<u8>>) -> io::Result<()> {
        let Some(missed) = self.state.since(&prefix, from) else {
            let _ = to.try_send(encode(&Message::Event(Event::Compacted), MAX_MESSAGE)?);
            return Ok(());
        };
        // First word: the watch stands.
        let stands = Event::Progress(Revision(from.0.saturating_sub(1).min(self.state.revision().0)));
        for event in std::iter::once(stands).chain(missed) {
            if to.try_send(encode(&Message::Event(event), MAX_MESSAGE)?).is_err() {
                return Ok(());
            }
        }
        self.watchers.push(Watcher { prefix, to });
        Ok(())
    }
}
