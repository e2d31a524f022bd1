//! A watch on etcd as a stream of our events.

use super::convert;
use crate::{Watch, WatchEvent};
use etcd_client::{Client, Error, WatchOptions, WatchResponse, WatchStream};
use futures_util::stream;
use std::collections::VecDeque;
use tanist_engine::Revision;

/// A watch that stands.
pub(super) struct Begun {
    stream: WatchStream,
    first: WatchResponse,
}

/// Begins a watch; waits until the member says that it stands.
pub(super) async fn begin(client: Client, prefix: String, from: Revision) -> Result<Begun, Error> {
    let options = WatchOptions::new().with_prefix().with_start_revision(convert::number(from)).with_progress_notify();
    let mut stream = client.watch_client().watch(prefix, Some(options)).await?;
    match stream.message().await? {
        Some(first) => Ok(Begun { stream, first }),
        None => Err(Error::WatchError("the member closed the watch before it began".to_owned())),
    }
}

/// The events of a watch that stands, beginning with a sign of life.
pub(super) fn follow(begun: Begun, from: Revision) -> Watch {
    let Begun { stream, first } = begun;
    let mut ready = VecDeque::new();
    if first.created() && !first.canceled() {
        let revision = match from.0.checked_sub(1) {
            Some(before) => Revision(before),
            None => convert::header(first.header()).unwrap_or_default(),
        };
        ready.push_back(WatchEvent::Progress(revision));
        // Events may already ride on the same message.
        for (revision, changes) in convert::changes(first.events()) {
            ready.push_back(WatchEvent::Changes { revision, changes });
        }
    } else {
        take(&first, &mut ready);
    }
    Box::pin(stream::unfold((Some(stream), ready), |(mut stream, mut ready)| async move {
        loop {
            if let Some(event) = ready.pop_front() {
                if matches!(event, WatchEvent::Compacted | WatchEvent::Lost(_)) {
                    stream = None;
                    ready.clear();
                }
                return Some((event, (stream, ready)));
            }
            match stream.as_mut()?.message().await {
                Ok(Some(message)) => take(&message, &mut ready),
                Ok(None) => ready.push_back(WatchEvent::Lost("the member closed the watch".to_owned())),
                Err(error) => ready.push_back(WatchEvent::Lost(error.to_string())),
            }
        }
    }))
}

fn take(message: &WatchResponse, ready: &mut VecDeque<WatchEvent>) {
    if message.compact_revision() > 0 {
        ready.push_back(WatchEvent::Compacted);
    } else if message.canceled() {
        ready.push_back(WatchEvent::Lost(format!("cancelled: {}", message.cancel_reason())));
    } else if message.events().is_empty() {
        match convert::header(message.header()) {
            Ok(revision) => ready.push_back(WatchEvent::Progress(revision)),
            Err(error) => ready.push_back(WatchEvent::Lost(error.to_string())),
        }
    } else {
        for (revision, changes) in convert::changes(message.events()) {
            ready.push_back(WatchEvent::Changes { revision, changes });
        }
    }
}
