//! Carries out permitted requests within the time of their call, and writes down what they may have changed.

use super::{HttpExchange, HttpFailure, HttpSender};
use crate::{
    Certainty, LedgerEntry,
    leadership::now,
    protocol::{Denial, HttpResponse, PluginId, Reply},
    shared_ledger::SharedLedger,
};
use std::{sync::Arc, time::Duration};
use tanist_engine::Moment;
use tokio::{task::JoinSet, time::timeout};

/// The ledger's name for requests.
const HTTP: &str = "http";
/// A request ends this long before its call, so that the plugin still learns how.
const MARGIN: Duration = Duration::from_millis(20);

/// What requests of one call are carried out with.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) plugin: PluginId,
    pub(crate) sender: Arc<dyn HttpSender>,
    pub(crate) ledger: SharedLedger,
    pub(crate) epoch: u64,
    pub(crate) dry_run: bool,
    /// The call must end then.
    pub(crate) deadline: Moment,
}

/// A request that passed, with the plugin's own limit of time.
pub(crate) type Permitted = (Result<HttpExchange, Denial>, Option<Duration>);

/// Sends all of them at once; the answers are in the order of the requests.
pub(crate) async fn send_all(sending: Sending, requests: Vec<Permitted>) -> Result<Reply, Denial> {
    let mut answers: Vec<Result<HttpResponse, Denial>> = Vec::with_capacity(requests.len());
    let mut running = JoinSet::new();
    for (place, (permitted, limit)) in requests.into_iter().enumerate() {
        // Stands until there is an answer.
        answers.push(Err(Denial::Unknown("the request was given up".to_owned())));
        match permitted {
            Err(denial) => answers[place] = Err(denial),
            Ok(exchange) => {
                let sending = sending.clone();
                running.spawn(async move { (place, sending.send(exchange, limit).await) });
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
    async fn send(&self, exchange: HttpExchange, limit: Option<Duration>) -> Result<HttpResponse, Denial> {
        let reads = matches!(exchange.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let key = format!("{} {}", exchange.method, exchange.url);
        if self.dry_run && !reads {
            tracing::info!(plugin = %self.plugin, request = key, "dry run: not sent");
            return Ok(HttpResponse { status: 204, headers: Vec::new(), body: Vec::new() });
        }
        let left = self.deadline.since(now()).saturating_sub(MARGIN);
        let within = limit.map_or(left, |limit| limit.min(left));
        if within.is_zero() {
            return Err(Denial::Expired);
        }
        let sent = timeout(within, self.sender.send(exchange, within)).await;
        let answer = sent.unwrap_or_else(|_| Err(HttpFailure::Unknown(format!("no answer within {} ms", within.as_millis()))));
        if !reads {
            self.write_down(key, &answer).await;
        }
        answer.map_err(|failure| match failure {
            HttpFailure::Refused(text) => Denial::Refused(text),
            HttpFailure::Unreachable(text) => Denial::Unreachable(text),
            HttpFailure::Unknown(text) => Denial::Unknown(text),
        })
    }

    async fn write_down(&self, key: String, answer: &Result<HttpResponse, HttpFailure>) {
        let (value, certainty) = match answer {
            Ok(response) => (format!("status {}", response.status), Certainty::Applied),
            Err(HttpFailure::Unknown(_)) => ("no answer".to_owned(), Certainty::Unknown),
            Err(HttpFailure::Refused(_) | HttpFailure::Unreachable(_)) => return,
        };
        let (plugin, epoch) = (self.plugin.clone(), self.epoch);
        self.ledger.record(LedgerEntry { plugin, capability: HTTP.to_owned(), key, value, epoch, certainty }).await;
    }
}

#[cfg(test)]
#[path = "sending_tests.rs"]
mod tests;
