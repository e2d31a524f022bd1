//! Requests whose write was not answered, over a store that loses answers.

use super::*;
use std::sync::Arc;
use tanist_dcs::{
    Clock, Compare, Keys, Op, Store, StoreError, Txn,
    faulty::{Fault, Faulty},
    local,
};
use tanist_engine::{
    Diverged, Endpoint, Epoch, Face, Failsafe, FenceState, Guard, Observation, Policy, Postgres, Reason, Refusal, StorageSeen,
    StoreView, SyncMode, Tags, Theirs, Timeline,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// The loop's view of a cluster that this leads, on a standby.
fn status(leader: &str, epoch: u64) -> Status {
    let (name, epoch) = (MemberName::from(leader), Epoch(epoch));
    let lease = Lease::Theirs(Theirs { holder: name.clone(), epoch, vacant_at: Moment::ZERO, twin: false });
    let endpoint = Endpoint { host: "10.0.0.1".to_owned(), port: 5432 };
    let face = Face { epoch, name, endpoint, timeline: Timeline(1) };
    let seen = Observation {
        me: MemberName::from("c"),
        lease,
        store: StoreView { primary: Some(face), ..StoreView::default() },
        postgres: Postgres::Unknown,
        guard: Guard { armed: None, newest: Epoch::NONE, fence: FenceState::Open, budget: Duration::ZERO },
        job: None,
        last_job: None,
        peers: Vec::new(),
        probed: Moment::ZERO,
        promised: None,
        directory_replaced: false,
        directory: 0,
        storage: StorageSeen::default(),
        restart: None,
        wal_gone: None,
        unreadable: None,
        stopping: false,
        failsafe: Failsafe::default(),
    };
    Status { seen, reason: Reason::ProbePending, policy: policy(), decided: Moment::ZERO, refused: None }
}

fn policy() -> Policy {
    Policy {
        diverged: Diverged::default(),
        ttl: Duration::from_secs(5),
        loop_wait: Duration::from_secs(10),
        retry_timeout: Duration::from_secs(10),
        maximum_lag_on_failover: 0,
        synchronous: SyncMode::Off,
        primary_start_timeout: None,
        primary_stop_timeout: Duration::ZERO,
        failsafe: false,
        tags: Tags::default(),
    }
}

/// A store that loses answers, and what is looked at.
struct Scene {
    store: Arc<dyn Store>,
    faulty: Arc<Faulty>,
    mirror: Mirror,
    cell: StatusCell,
    asked: Asked,
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn begin() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("dcs.sock");
        tokio::spawn(local::Server::bind(&socket, None).unwrap().run(std::future::pending()));
        let store: Arc<dyn Store> = Arc::new(local::LocalStore::new(&socket));
        let keys = Keys::new("service", "main");
        let mirror = Mirror::spawn(store.clone(), keys.prefix().to_owned(), Clock::system(), PATIENCE);
        mirror.subscribe().wait_for(|snapshot| snapshot.watching).await.unwrap();
        let cell = StatusCell::default();
        cell.put(status("a", 1));
        let asked = Asked {
            key: keys.failover(),
            value: r#"{"leader":"a","member":"b"}"#.to_owned(),
            before: mirror.snapshot().revision,
            written: None,
            old: Some("a".into()),
            candidate: Some("b".into()),
            at: clock::now(),
        };
        Self { faulty: Faulty::new(store.clone()), store, mirror, cell, asked, _directory: directory }
    }

    /// Sends the request; the answer never comes.
    async fn write(&self, fault: Fault) {
        self.faulty.set(fault);
        let Asked { key, value, .. } = &self.asked;
        let (compares, then) = (vec![Compare::Absent(key.clone())], vec![Op::put(key, value.clone())]);
        let error = self.faulty.txn(Txn { compares, then, otherwise: Vec::new() }, PATIENCE).await.unwrap_err();
        assert!(error.may_have_landed(), "{error}");
    }

    /// What the leader does with the key once it is seen here, and what comes of it.
    async fn leader(&self, then: impl FnOnce(&StatusCell)) -> Result<(), StoreError> {
        self.mirror.subscribe().wait_for(|snapshot| snapshot.get(&self.asked.key).is_some()).await.unwrap();
        // Longer than between two looks.
        tokio::time::sleep(5 * LOOK).await;
        then(&self.cell);
        let then = vec![Op::Delete(self.asked.key.clone())];
        self.store.txn(Txn { then, ..Txn::default() }, PATIENCE).await.map(drop)
    }

    async fn follow(&mut self, limit: Duration) -> Outcome {
        follow(&self.cell, &self.mirror, &mut self.asked, limit).await
    }
}

#[tokio::test]
async fn a_request_whose_write_was_not_answered_is_found_and_followed() {
    let mut scene = Scene::begin().await;
    scene.write(Fault::LoseAnswer).await;
    let outcome = scene.follow(10 * LOOK).await;
    assert_eq!(outcome, Outcome::StatusUnknown { says: Some(Reason::ProbePending.to_string()) }, "it waits in the store");
    scene.asked.written = None;
    scene.leader(|cell| cell.put(status("b", 2))).await.unwrap();
    assert_eq!(scene.follow(PATIENCE).await, Outcome::Done { leader: "b".into(), candidate: Some("b".into()) });
}

#[tokio::test]
async fn a_refusal_of_a_request_whose_write_was_not_answered_is_told() {
    let mut scene = Scene::begin().await;
    scene.write(Fault::LoseAnswer).await;
    assert_eq!(scene.asked.look(&status("a", 1), &Snapshot::default()), Sight::Nothing);
    let outcome = scene.follow(10 * LOOK).await;
    assert!(matches!(outcome, Outcome::StatusUnknown { .. }), "{outcome:?}");
    let refuse = |cell: &StatusCell| {
        cell.put(Status { refused: Some((clock::now(), Refusal::NoCandidate)), ..status("a", 1) });
    };
    scene.leader(refuse).await.unwrap();
    assert_eq!(scene.follow(PATIENCE).await, Outcome::Failed { why: Some(Refusal::NoCandidate.to_string()) });
}

#[tokio::test]
async fn a_request_that_was_not_seen_may_still_be_carried_out() {
    let mut scene = Scene::begin().await;
    scene.write(Fault::LoseRequest).await;
    assert_eq!(scene.follow(10 * LOOK).await, Outcome::WriteUnknown);
}

#[tokio::test]
async fn a_request_of_somebody_else_is_not_taken_for_this_one() {
    let mut scene = Scene::begin().await;
    let other = Op::put(&scene.asked.key, r#"{"leader":"a","member":"d"}"#);
    scene.store.txn(Txn { then: vec![other], ..Txn::default() }, PATIENCE).await.unwrap();
    scene.leader(|_| ()).await.unwrap();
    assert_eq!(scene.follow(10 * LOOK).await, Outcome::WriteUnknown);
}
