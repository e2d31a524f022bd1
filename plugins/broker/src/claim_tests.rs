//! Claims: read back after an unknown end, one at a time per name.

use super::*;
use crate::{DnsPresent, durable::power_cut::PowerCut, protocol::DnsRecord};
use async_trait::async_trait;
use std::{
    net::IpAddr,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tanist_engine::Epoch;

/// Answers as told, and writes down what it was asked.
#[derive(Default)]
struct Scripted {
    outcomes: Mutex<Vec<DnsOutcome>>,
    present: Mutex<Option<Result<DnsPresent, DnsFailure>>>,
    asked: Mutex<Vec<&'static str>>,
    hangs: AtomicBool,
    disk: Option<PowerCut>,
    /// What would be on the disk if the agent died while a claim is on its way.
    found: Mutex<Vec<PowerCut>>,
}

#[async_trait]
impl DnsUpdater for Scripted {
    async fn point(&self, _: DnsClaim, _: Duration) -> DnsOutcome {
        self.asked.lock().unwrap().push("point");
        let found = self.disk.iter().flat_map(|disk| disk.found().into_iter().chain([disk.survived()]));
        self.found.lock().unwrap().extend(found);
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.outcomes.lock().unwrap().remove(0)
    }

    async fn present(&self, _: DnsTarget, _: String, _: Duration) -> Result<DnsPresent, DnsFailure> {
        self.asked.lock().unwrap().push("present");
        self.present.lock().unwrap().clone().unwrap()
    }

    async fn lookup(&self, _: DnsTarget, _: String, _: RecordKind, _: Duration) -> Result<Vec<DnsRecord>, DnsFailure> {
        Ok(vec![])
    }
}

struct Bench {
    updater: Arc<Scripted>,
    leadership: watch::Sender<Leadership>,
    ledger: SharedLedger,
    runtime: tokio::runtime::Runtime,
}

fn bench(outcomes: Vec<DnsOutcome>) -> Bench {
    let until = Some(now() + Duration::from_secs(60));
    let disk = PowerCut::new();
    Bench {
        updater: Arc::new(Scripted { outcomes: Mutex::new(outcomes), disk: Some(disk.clone()), ..Scripted::default() }),
        leadership: watch::Sender::new(leadership(9, until)),
        ledger: open(&disk),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
    }
}

fn leadership(epoch: u64, lease_until: Option<Moment>) -> Leadership {
    Leadership { epoch: Epoch(epoch), lease_until, ttl: SECOND * 60 }
}

fn open(disk: &PowerCut) -> SharedLedger {
    SharedLedger::open(Arc::new(disk.clone()), Path::new("/state"), SECOND)
}

impl Bench {
    fn claim(&self, within: Duration) -> Result<Reply, Denial> {
        let target = DnsTarget { server: "127.0.0.1:53".to_owned(), zone: "example.org".to_owned(), key: None };
        let addresses = vec![IpAddr::from([10, 0, 0, 1])];
        let claiming = Claiming {
            plugin: PluginId::from("dns-update"),
            updater: self.updater.clone(),
            leadership: self.leadership.subscribe(),
            ledger: self.ledger.clone(),
            name_lock: Arc::default(),
            claim: DnsClaim { target, name: "db.example.org".to_owned(), addresses, ttl: 5, epoch: 9 },
            deadline: now() + within,
        };
        self.runtime.block_on(claiming.run())
    }

    fn known(&self) -> Option<(u64, Certainty)> {
        self.ledger.entries().first().map(|entry| (entry.epoch, entry.certainty))
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.updater.asked.lock().unwrap())
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_applied_is_known_and_claimed_again_without_reading() {
    let bench = bench(vec![DnsOutcome::Applied, DnsOutcome::AlreadyThere]);
    assert_eq!(bench.claim(SECOND), Ok(Reply::DnsPoint(DnsPointed::Applied)));
    assert_eq!(bench.known(), Some((9, Certainty::Applied)));
    assert_eq!(bench.claim(SECOND), Ok(Reply::DnsPoint(DnsPointed::AlreadyThere)));
    assert_eq!(bench.asked(), ["point", "point"]);
}

#[test]
fn an_unknown_claim_is_read_back_before_the_next_one() {
    let bench = bench(vec![DnsOutcome::Unknown("lost".to_owned()), DnsOutcome::Applied]);
    assert_eq!(bench.claim(SECOND), Err(Denial::Unknown("lost".to_owned())));
    assert_eq!(bench.known(), Some((9, Certainty::Unknown)));
    *bench.updater.present.lock().unwrap() = Some(Err(DnsFailure::Unreachable("away".to_owned())));
    assert!(matches!(bench.claim(SECOND), Err(Denial::Unreachable(_))));
    assert_eq!(bench.asked(), ["point", "present"], "never claimed over an unknown");
    *bench.updater.present.lock().unwrap() = Some(Ok(DnsPresent { epoch: Some(8), addresses: vec![] }));
    assert_eq!(bench.claim(SECOND), Ok(Reply::DnsPoint(DnsPointed::Applied)));
    assert_eq!(bench.asked(), ["present", "point"]);
}

#[test]
fn a_claim_that_was_under_way_when_the_agent_died_is_read_back_by_the_next_agent() {
    let mut bench = bench(vec![DnsOutcome::Applied]);
    assert!(bench.claim(SECOND).is_ok());
    let found = std::mem::take(&mut *bench.updater.found.lock().unwrap());
    assert!(found.len() > 1, "nothing was on its way");
    for found in found {
        bench.ledger = open(&found);
        *bench.updater.present.lock().unwrap() = Some(Err(DnsFailure::Unreachable("away".to_owned())));
        bench.asked();
        assert!(matches!(bench.claim(SECOND), Err(Denial::Unreachable(_))));
        assert_eq!(bench.asked(), ["present"], "read back first");
    }
}

#[test]
fn a_read_back_that_finds_the_claim_or_a_newer_epoch_settles_it() {
    let settles = |present, expected: Result<Reply, Denial>, known| {
        let bench = bench(vec![DnsOutcome::Unknown("lost".to_owned())]);
        assert!(bench.claim(SECOND).is_err());
        *bench.updater.present.lock().unwrap() = Some(Ok(present));
        assert_eq!(bench.claim(SECOND), expected);
        assert_eq!(bench.asked(), ["point", "present"]);
        assert_eq!(bench.known(), known);
    };
    let addresses = vec![IpAddr::from([10, 0, 0, 1])];
    let there = DnsPresent { epoch: Some(9), addresses: addresses.clone() };
    settles(there, Ok(Reply::DnsPoint(DnsPointed::AlreadyThere)), Some((9, Certainty::Applied)));
    settles(DnsPresent { epoch: Some(10), addresses }, Err(Denial::Fenced { newer_epoch: 10 }), None);
}

#[test]
fn an_updater_that_hangs_leaves_an_unknown_within_the_calls_time() {
    let bench = bench(vec![]);
    bench.updater.hangs.store(true, Ordering::Relaxed);
    assert!(matches!(bench.claim(Duration::from_millis(20)), Err(Denial::Unknown(_))));
    assert_eq!(bench.known(), Some((9, Certainty::Unknown)));
}

#[test]
fn what_was_refused_leaves_what_was_known() {
    let bench = bench(vec![DnsOutcome::Applied, DnsOutcome::Refused("no".to_owned())]);
    assert!(bench.claim(SECOND).is_ok());
    assert_eq!(bench.claim(SECOND), Err(Denial::Refused("no".to_owned())));
    assert_eq!(bench.known(), Some((9, Certainty::Applied)));
}

#[test]
fn leadership_that_went_while_waiting_stops_the_claim() {
    let bench = bench(vec![]);
    bench.leadership.send_replace(leadership(10, None));
    assert_eq!(bench.claim(SECOND), Err(Denial::StaleEpoch { asked: 9, current: 10 }));
    bench.leadership.send_replace(leadership(9, Some(now())));
    assert_eq!(bench.claim(SECOND), Err(Denial::NotLeader));
    assert!(bench.asked().is_empty());
    assert_eq!(bench.known(), None);
}
