//! Carries out permitted requests within the time of their call, and writes down what they may have changed.
//!
//! Resolving, connecting and shaking hands take time. So a claim is looked after on its way: whenever it makes a step, the one that
//! writes it included, leadership is looked at first, and once that is gone the request is dropped with its connection.

use super::{HttpExchange, HttpFailure, HttpSender};
use crate::{
    Certainty, Leadership, LedgerEntry,
    leadership::now,
    protocol::{Denial, HttpResponse, PluginId, Reply},
    shared_ledger::SharedLedger,
};
use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};
use tanist_engine::Moment;
use tokio::{select, sync::watch, task::JoinSet, time::timeout};

/// The ledger's name for requests.
const HTTP: &str = "http";
/// A request ends this long before its call, so that the plugin still learns how.
const MARGIN: Duration = Duration::from_millis(20);

type Answer = Result<HttpResponse, HttpFailure>;

/// What requests of one call are carried out with.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) plugin: PluginId,
    pub(crate) sender: Arc<dyn HttpSender>,
    pub(crate) ledger: SharedLedger,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) epoch: u64,
    pub(crate) dry_run: bool,
    /// The call must end then.
    pub(crate) deadline: Moment,
}

/// A request after its check.
pub(crate) struct Checked {
    /// Whether it passed.
    pub(crate) permitted: Result<HttpExchange, Denial>,
    /// The plugin's own limit of time.
    pub(crate) limit: Option<Duration>,
    /// It is a claim in the name of this epoch.
    pub(crate) claim: Option<u64>,
}

/// Sends all of them at once; the answers are in the order of the requests.
pub(crate) async fn send_all(sending: Sending, requests: Vec<Checked>) -> Result<Reply, Denial> {
    let mut answers: Vec<Result<HttpResponse, Denial>> = Vec::with_capacity(requests.len());
    let mut running = JoinSet::new();
    for (place, Checked { permitted, limit, claim }) in requests.into_iter().enumerate() {
        // Stands until there is an answer.
        answers.push(Err(Denial::Unknown("the request was given up".to_owned())));
        match permitted {
            Err(denial) => answers[place] = Err(denial),
            Ok(exchange) => {
                let sending = sending.clone();
                running.spawn(async move { (place, sending.send(exchange, limit, claim).await) });
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        if let Ok((place, answer)) = ended {
            answers[place] = answer;
        }
    }
    Ok(Reply::Http(answers))
}

impl Sending {
    async fn send(&self, exchange: HttpExchange, limit: Option<Duration>, claim: Option<u64>) -> Result<HttpResponse, Denial> {
        let reads = matches!(exchange.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        // Not the path: it may be secret, and the plugin chooses it, so that there would be no end of keys.
        let key = format!("{} {} by grant {}", exchange.method, exchange.url.origin(), exchange.access);
        if self.dry_run && !reads {
            tracing::info!(plugin = %self.plugin, request = key, "dry run: not sent");
            return Ok(HttpResponse { status: 204, headers: Vec::new(), body: Vec::new() });
        }
        let left = self.deadline.since(now()).saturating_sub(MARGIN);
        let within = limit.map_or(left, |limit| limit.min(left));
        if within.is_zero() {
            return Err(Denial::Expired);
        }
        if let Some(epoch) = claim {
            self.leadership.borrow().covers(epoch, self.deadline)?;
        }
        let sent = async {
            let sent = timeout(within, self.sender.send(exchange, within)).await;
            sent.unwrap_or_else(|_| Err(HttpFailure::Unknown(format!("no answer within {} ms", within.as_millis()))))
        };
        let answer = match claim {
            None => sent.await,
            Some(epoch) => self.watched(epoch, sent).await,
        };
        if !reads {
            self.write_down(key, &answer).await;
        }
        answer.map_err(|failure| match failure {
            HttpFailure::Refused(text) => Denial::Refused(text),
            HttpFailure::Unreachable(text) => Denial::Unreachable(text),
            HttpFailure::Unknown(text) => Denial::Unknown(text),
        })
    }

    /// Sends a claim as long as it may be sent.
    async fn watched(&self, epoch: u64, sent: impl Future<Output = Answer>) -> Answer {
        let mut sent = pin!(sent);
        let steps = poll_fn(|context| {
            // Copied: the agent shall not wait for this step with what it has to tell next.
            let present = *self.leadership.borrow();
            match present.covers(epoch, self.deadline) {
                Ok(()) => sent.as_mut().poll(context),
                Err(denial) => Poll::Ready(Err(given_up(&denial))),
            }
        });
        select! {
            biased;
            denial = self.lost(epoch) => Err(given_up(&denial)),
            answer = steps => answer,
        }
    }

    /// Returns once a claim may not be sent any more, and why.
    async fn lost(&self, epoch: u64) -> Denial {
        let mut leadership = self.leadership.clone();
        loop {
            if leadership.changed().await.is_err() {
                // Nobody is there any more who would renew the lease.
                return Denial::NotLeader;
            }
            if let Err(denial) = leadership.borrow_and_update().covers(epoch, self.deadline) {
                return denial;
            }
        }
    }

    async fn write_down(&self, key: String, answer: &Answer) {
        let (value, certainty) = match answer {
            Ok(response) => (format!("status {}", response.status), Certainty::Applied),
            Err(HttpFailure::Unknown(_)) => ("no answer".to_owned(), Certainty::Unknown),
            Err(HttpFailure::Refused(_) | HttpFailure::Unreachable(_)) => return,
        };
        let (plugin, epoch) = (self.plugin.clone(), self.epoch);
        let entry = LedgerEntry { plugin, capability: HTTP.to_owned(), key, value, epoch, certainty };
        self.ledger.record(entry).await;
    }
}

/// How far it had come is not known here.
fn given_up(denial: &Denial) -> HttpFailure {
    HttpFailure::Unknown(format!("given up on its way: {denial}"))
}

#[cfg(test)]
#[path = "sending_tests.rs"]
mod tests;
