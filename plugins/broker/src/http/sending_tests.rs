//! Requests: all at once, in order, within the time of their call, and written down.

use super::*;
use crate::{Url, durable::power_cut::PowerCut};
use async_trait::async_trait;
use std::{path::Path, time::Instant};

/// Answers with the status in the path, or, for `/hang`, long after everybody is gone.
struct Scripted;

#[async_trait]
impl HttpSender for Scripted {
    async fn send(&self, exchange: HttpExchange, _: Duration) -> Result<HttpResponse, HttpFailure> {
        match exchange.url.path.trim_start_matches('/') {
            "hang" => std::future::pending().await,
            "refused" => Err(HttpFailure::Refused("not there".to_owned())),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(HttpResponse { status: 200, headers: vec![], body: vec![] })
            }
            status => Ok(HttpResponse { status: status.parse().unwrap(), headers: vec![], body: vec![] }),
        }
    }
}

fn exchange(method: &str, path: &str) -> Checked {
    let exchange = HttpExchange {
        access: path.to_owned(),
        method: method.to_owned(),
        url: Url::parse(&format!("http://h/{path}?token=hidden")).unwrap(),
        addresses: vec![],
        headers: vec![],
        body: vec![],
        most: 100,
    };
    Checked { permitted: Ok(exchange), limit: None, claim: None }
}

fn send(requests: Vec<Checked>, within: Duration, dry_run: bool) -> (Vec<Result<HttpResponse, Denial>>, Vec<LedgerEntry>) {
    let ledger = SharedLedger::open(Arc::new(PowerCut::new()), Path::new("/state"), Duration::from_secs(5));
    let deadline = now() + within + MARGIN;
    let plugin = PluginId::from("notify");
    let leadership = watch::Sender::default().subscribe();
    let sending = Sending { plugin, sender: Arc::new(Scripted), ledger: ledger.clone(), leadership, epoch: 9, dry_run, deadline };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Ok(Reply::Http(answers)) = runtime.block_on(send_all(sending, requests)) else { panic!("no answers") };
    (answers, ledger.entries())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn all_are_sent_at_once_and_answered_in_their_order() {
    let start = Instant::now();
    let mut requests: Vec<Checked> = (0..8).map(|_| exchange("GET", "slow")).collect();
    requests[3] = exchange("POST", "503");
    requests[5].permitted = Err(Denial::Invalid("x".to_owned()));
    let (answers, _) = send(requests, SECOND * 5, false);
    assert!(start.elapsed() < Duration::from_millis(600), "one after the other: {:?}", start.elapsed());
    let statuses: Vec<Option<u16>> = answers.iter().map(|answer| answer.as_ref().ok().map(|answer| answer.status)).collect();
    assert_eq!(statuses, [Some(200), Some(200), Some(200), Some(503), Some(200), None, Some(200), Some(200)]);
}

#[test]
fn an_answer_after_the_deadline_is_an_unknown_effect() {
    let start = Instant::now();
    let (answers, ledger) = send(vec![exchange("POST", "hang"), exchange("POST", "201")], Duration::from_millis(50), false);
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    assert!(matches!(&answers[0], Err(Denial::Unknown(_))), "{answers:?}");
    let known: Vec<(&str, &str, Certainty)> =
        ledger.iter().map(|entry| (entry.key.as_str(), entry.value.as_str(), entry.certainty)).collect();
    assert_eq!(
        known,
        [
            ("POST http://h by grant 201", "status 201", Certainty::Applied),
            ("POST http://h by grant hang", "no answer", Certainty::Unknown)
        ]
    );
}

#[test]
fn the_plugins_own_limit_of_time_counts_and_a_call_that_is_over_sends_nothing() {
    let request = Checked { limit: Some(Duration::from_millis(20)), ..exchange("POST", "hang") };
    let start = Instant::now();
    send(vec![request], SECOND * 30, false);
    assert!(start.elapsed() < SECOND * 5, "{:?}", start.elapsed());
    let (answers, ledger) = send(vec![exchange("POST", "200")], Duration::ZERO, false);
    assert_eq!((&answers[0], ledger.len()), (&Err(Denial::Expired), 0));
}

#[test]
fn what_was_not_sent_or_only_read_is_not_written_down_and_a_dry_run_only_reads() {
    let (_, ledger) = send(vec![exchange("POST", "refused"), exchange("GET", "200")], SECOND, false);
    assert_eq!(ledger, []);
    let (answers, ledger) = send(vec![exchange("POST", "hang"), exchange("GET", "200")], SECOND, true);
    let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status).collect();
    assert_eq!((statuses, ledger), (vec![204, 200], vec![]));
}
