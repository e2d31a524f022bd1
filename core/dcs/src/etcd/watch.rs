//! A watch on etcd as a stream of our events, with a pulse: a member that hangs or is cut off says nothing, and neither does a quiet
//! one, so it is asked for a sign of life.

use super::convert;
use crate::{Watch, WatchEvent};
use etcd_client::{Client, Error, WatchOptions, WatchResponse, WatchStream};
use futures_util::stream;
use std::{collections::VecDeque, time::Duration};
use tanist_engine::Revision;
use tokio::time::{Instant, sleep_until, timeout};

/// A member that has said nothing for so long is asked. Under a leader with a ttl of 5 s there is news every second and nobody is asked.
const QUIET: Duration = Duration::from_millis(1_150);
/// And asked again, as long as it does not answer.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// A watch that has said nothing for this long is given up; the next begins at the next member.
const SILENCE: Duration = Duration::from_millis(1_750);
/// Signs of life that were asked for reach the reader this often at most.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Changes of one message may be this large.
const MAX_MESSAGE: usize = 64 << 20;

/// A watch that stands.
pub(super) struct Begun {
    stream: WatchStream,
    first: WatchResponse,
}

/// Begins a watch; waits until the member says that it stands.
pub(super) async fn begin(client: Client, prefix: String, from: Revision) -> Result<Begun, Error> {
    let options = WatchOptions::new().with_prefix().with_start_revision(convert::number(from)).with_progress_notify();
    let mut stream = client.watch_client().max_decoding_message_size(MAX_MESSAGE).watch(prefix, Some(options)).await?;
    match stream.message().await? {
        Some(first) if first.canceled() && first.compact_revision() == 0 => {
            Err(Error::WatchError(first.cancel_reason().to_owned()))
        }
        Some(first) => Ok(Begun { stream, first }),
        None => Err(Error::WatchError("the member closed the watch before it began".to_owned())),
    }
}

/// The events of a watch that stands, beginning with a sign of life.
pub(super) fn follow(begun: Begun, from: Revision, place: &str) -> Watch {
    let Begun { stream, first } = begun;
    let mut ready = VecDeque::new();
    let mut seen = Revision(from.0.saturating_sub(1));
    if first.created() && !first.canceled() {
        if from.0 == 0 {
            seen = convert::header(first.header()).unwrap_or_default();
        }
        ready.push_back(WatchEvent::Progress(seen));
        // Events may already ride on the same message.
        for (revision, changes) in convert::changes(first.events()) {
            seen = seen.max(revision);
            ready.push_back(WatchEvent::Changes { revision, changes });
        }
    } else {
        take(&first, &mut seen, &mut ready);
    }
    let now = Instant::now();
    let pulse = Pulse { stream, seen, ask_at: now + QUIET, heard: now, told: now, place: place.to_owned() };
    Box::pin(stream::unfold((Some(pulse), ready), |(mut pulse, mut ready)| async move {
        loop {
            if let Some(event) = ready.pop_front() {
                if matches!(event, WatchEvent::Compacted | WatchEvent::Lost(_)) {
                    pulse = None;
                    ready.clear();
                }
                return Some((event, (pulse, ready)));
            }
            pulse.as_mut()?.next(&mut ready).await;
        }
    }))
}

/// The running watch.
struct Pulse {
    stream: WatchStream,
    /// Every change up to here has been delivered.
    seen: Revision,
    /// When the member is asked, if it says nothing.
    ask_at: Instant,
    /// When the member last said anything.
    heard: Instant,
    /// When the reader was last told something.
    told: Instant,
    /// Which member.
    place: String,
}

impl Pulse {
    /// Waits for news, or for the end of the patience.
    async fn next(&mut self, ready: &mut VecDeque<WatchEvent>) {
        while ready.is_empty() {
            let silent = sleep_until(self.heard + SILENCE);
            tokio::select! {
                biased;
                message = self.stream.message() => self.hear(message, ready),
                () = silent => self.lose(format!("said nothing for {SILENCE:?} on a watch"), ready),
                () = sleep_until(self.ask_at) => {
                    // A request that cannot even be queued is no answer either: the silence ends it.
                    if let Ok(Err(error)) = timeout(ASK_AGAIN, self.stream.request_progress()).await {
                        self.lose(super::words::plain(&error), ready);
                    }
                    self.ask_at = Instant::now() + ASK_AGAIN;
                }
            }
        }
        self.told = Instant::now();
    }

    fn hear(&mut self, message: Result<Option<WatchResponse>, Error>, ready: &mut VecDeque<WatchEvent>) {
        self.heard = Instant::now();
        self.ask_at = self.heard + QUIET;
        match message {
            // The answers to our asking come often: the reader needs few of them.
            Ok(Some(message)) if is_progress(&message) && self.told.elapsed() < TELL_EVERY => {}
            Ok(Some(message)) => take(&message, &mut self.seen, ready),
            Ok(None) => self.lose("closed the watch".to_owned(), ready),
            Err(error) => self.lose(super::words::plain(&error), ready),
        }
    }

    fn lose(&self, why: String, ready: &mut VecDeque<WatchEvent>) {
        ready.push_back(WatchEvent::Lost(format!("{}: {why}", self.place)));
    }
}

fn is_progress(message: &WatchResponse) -> bool {
    message.compact_revision() == 0 && !message.canceled() && message.events().is_empty()
}

fn take(message: &WatchResponse, seen: &mut Revision, ready: &mut VecDeque<WatchEvent>) {
    if message.compact_revision() > 0 {
        ready.push_back(WatchEvent::Compacted);
    } else if message.canceled() {
        ready.push_back(WatchEvent::Lost(format!("cancelled: {}", message.cancel_reason())));
    } else if is_progress(message) {
        // Before 3.4.25 and 3.5.8 etcd answers with a revision whose changes it has not sent yet: only the sign of life is taken.
        ready.push_back(WatchEvent::Progress(*seen));
    } else {
        for (revision, changes) in convert::changes(message.events()) {
            *seen = (*seen).max(revision);
            ready.push_back(WatchEvent::Changes { revision, changes });
        }
    }
}
