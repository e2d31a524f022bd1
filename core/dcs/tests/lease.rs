//! The lease on real stores: races, lost answers, frozen holders, restarts. Time is turned by hand; the store's own expiry is long.

mod support;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use support::{Etcd, Local, PATIENCE, until};
use tanist_dcs::{
    Clock, Compare, Keys, Mirror, Op, Store, Txn,
    faulty::{Fault, Faulty},
    lease::{AcquireOutcome, Adopted, Keeper, Record, ReleaseOutcome, RenewOutcome, SyncNow, WriteOutcome, encode_base},
};
use tanist_engine::{Epoch, Held, Lease, Moment, Reading, Revision, SyncState};

const TTL: Duration = Duration::from_secs(60);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A cluster's place in a store, and one clock for all of its nodes.
struct Cluster {
    store: Arc<dyn Store>,
    keys: Keys,
    time: Arc<AtomicU64>,
}

impl Cluster {
    fn new(store: Arc<dyn Store>, scope: &str) -> Self {
        Self { store, keys: Keys::new("service", scope), time: Arc::new(AtomicU64::new(1_000_000_000_000)) }
    }

    fn clock(&self) -> Clock {
        let time = self.time.clone();
        Clock::new(move || {
            let now = Moment::from_nanos(time.load(Ordering::SeqCst));
            Reading { boot: now, raw: now }
        })
    }

    fn now(&self) -> Reading {
        self.clock().now()
    }

    fn pass(&self, span: Duration) {
        self.time.fetch_add(u64::try_from(span.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    fn node(&self, name: &str, nonce: u64) -> Node {
        let faulty = Faulty::new(self.store.clone());
        let store: Arc<dyn Store> = faulty.clone();
        let keeper = Arc::new(Keeper::new(store, self.keys.clone(), name.into(), nonce, TTL, self.clock()));
        let mirror = Mirror::spawn(self.store.clone(), self.keys.prefix().to_owned(), self.clock(), PATIENCE);
        Node { name: name.to_owned(), nonce, keeper, mirror, faulty, clock: self.clock(), keys: self.keys.clone() }
    }

    async fn write(&self, ops: Vec<Op>) -> Revision {
        self.store.txn(Txn { then: ops, ..Txn::default() }, PATIENCE).await.unwrap().revision
    }

    async fn value(&self, key: String) -> Option<String> {
        self.store.get(&key, PATIENCE).await.unwrap().map(|kv| String::from_utf8(kv.value).unwrap())
    }

    async fn record(&self) -> Record {
        Record::decode(&self.store.get(&self.keys.lease(), PATIENCE).await.unwrap().unwrap().value).unwrap()
    }
}

struct Node {
    name: String,
    nonce: u64,
    keeper: Arc<Keeper>,
    mirror: Mirror,
    faulty: Arc<Faulty>,
    clock: Clock,
    keys: Keys,
}

impl Node {
    fn lease(&self) -> Lease {
        self.keeper.lease(self.clock.now())
    }

    fn left(&self) -> Duration {
        self.keeper.until().map_or(Duration::ZERO, |until| self.clock.now().left_until(until))
    }

    fn held(&self) -> Held {
        match self.lease() {
            Lease::Mine(held) => held,
            other => panic!("{} does not hold the lease: {other:?}", self.name),
        }
    }

    /// Waits until the mirror shows what the store has, and lets the keeper see it.
    async fn look(&self, cluster: &Cluster) -> Lease {
        until("the mirror shows what the store has", async || {
            let listing = cluster.store.list(self.keys.prefix(), PATIENCE).await.unwrap();
            let snapshot = self.mirror.snapshot();
            let same = snapshot.as_of.is_some() && snapshot.keys.values().map(|seen| &seen.kv).eq(&listing.items);
            same.then(|| self.keeper.observe(&snapshot, self.clock.now()))
        })
        .await;
        self.lease()
    }

    async fn acquire_with(&self, cluster: &Cluster, state: Option<SyncState>) -> AcquireOutcome {
        let Lease::Vacant { record, .. } = self.lease() else { panic!("{}: {:?} is not vacant", self.name, self.lease()) };
        let sync = cluster.store.get(&self.keys.sync(), PATIENCE).await.unwrap();
        let revision = sync.as_ref().map_or(Revision(0), |kv| kv.mod_revision);
        let value = sync.map_or(b"{}".to_vec(), |kv| kv.value);
        self.keeper.acquire(record, SyncNow { revision, value, state }).await
    }

    async fn acquire(&self, cluster: &Cluster) -> AcquireOutcome {
        self.acquire_with(cluster, None).await
    }

    /// Takes the lease of a cluster that never had one.
    async fn lead(&self, cluster: &Cluster) -> Held {
        self.look(cluster).await;
        cluster.pass(seconds(61));
        assert!(self.keeper.confirm_vacant().await.unwrap());
        match self.acquire(cluster).await {
            AcquireOutcome::Won(held) => held,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    async fn renewed(&self) -> Held {
        match self.keeper.renew().await {
            RenewOutcome::Renewed(held) => held,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// An agent that comes up again under the same guard.
    fn restarted(&self, cluster: &Cluster) -> Self {
        cluster.node(&self.name, self.nonce)
    }
}

async fn a_fresh_node_waits_a_full_ttl_and_asks_once_more(cluster: Cluster) {
    let a = cluster.node("a", 1);
    assert_eq!(a.lease(), Lease::Unknown, "before the first answer");
    assert_eq!(a.look(&cluster).await, Lease::Unknown, "an empty store is not a vacant lease");
    cluster.pass(seconds(60));
    assert!(!a.keeper.wants_confirmation(cluster.now()));
    assert!(!a.keeper.confirm_vacant().await.unwrap());
    cluster.pass(seconds(1));
    assert!(a.keeper.wants_confirmation(cluster.now()));
    assert_eq!(a.lease(), Lease::Unknown, "over, but not confirmed");
    a.faulty.set(Fault::CutOff);
    assert!(a.keeper.confirm_vacant().await.is_err());
    assert_eq!(a.lease(), Lease::Unknown, "no answer is never vacant");
    a.faulty.set(Fault::None);
    assert!(a.keeper.confirm_vacant().await.unwrap());
    assert!(matches!(a.lease(), Lease::Vacant { record: Revision(0), released: false, .. }));
}

async fn of_two_that_race_one_wins(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.look(&cluster).await;
    b.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap() && b.keeper.confirm_vacant().await.unwrap());
    let outcomes = tokio::join!(a.acquire(&cluster), b.acquire(&cluster));
    let (winner, loser, held) = match outcomes {
        (AcquireOutcome::Won(held), AcquireOutcome::Lost | AcquireOutcome::SyncChanged) => (&a, &b, held),
        (AcquireOutcome::Lost | AcquireOutcome::SyncChanged, AcquireOutcome::Won(held)) => (&b, &a, held),
        other => panic!("{other:?}"),
    };
    assert_eq!(held.epoch.0, held.acquisition.0, "no base");
    assert_eq!(held.until, cluster.now().boot + Duration::from_millis(59_400));
    assert!(!held.in_flight);
    let leader = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap();
    assert_eq!((leader.value.as_slice(), leader.mod_revision), (winner.name.as_bytes(), held.acquisition));
    assert!(leader.expiry.is_some(), "Patroni's key has the store's expiry");
    assert_eq!(cluster.value(cluster.keys.sync()).await.as_deref(), Some("{}"), "an absent /sync is created");
    let Lease::Theirs(theirs) = loser.look(&cluster).await else { panic!("{:?}", loser.lease()) };
    assert_eq!((theirs.holder.0.as_str(), theirs.epoch, theirs.twin), (winner.name.as_str(), held.epoch, false));
    assert_eq!(theirs.vacant_at, cluster.now().boot + Duration::from_millis(60_600));
    assert_eq!(cluster.record().await.epoch, None, "an acquisition does not know its revision");
    winner.renewed().await;
    assert_eq!(cluster.record().await.epoch, Some(held.epoch), "the first renewal writes it in");
    loser.look(&cluster).await;
    assert!(matches!(loser.lease(), Lease::Theirs(theirs) if theirs.epoch == held.epoch));
}

async fn of_a_late_renewal_and_a_take_over_one_wins(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    for round in 0..10 {
        let (holder, other) = if matches!(a.lease(), Lease::Mine(_)) { (&a, &b) } else { (&b, &a) };
        holder.renewed().await;
        other.look(&cluster).await;
        cluster.pass(seconds(61));
        assert!(other.keeper.confirm_vacant().await.unwrap(), "round {round}");
        match tokio::join!(holder.keeper.renew(), other.acquire(&cluster)) {
            (RenewOutcome::Renewed(_), AcquireOutcome::Lost) => {
                assert!(matches!(other.lease(), Lease::Theirs(_)));
            }
            (RenewOutcome::Lost, AcquireOutcome::Won(_)) => assert!(matches!(holder.lease(), Lease::Theirs(_))),
            both => panic!("round {round}: {both:?}"),
        }
    }
}

async fn a_lost_answer_to_an_acquisition_is_read_back(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap());
    // The expiry is made before, its answer is not what is lost here.
    a.keeper.keep_expiry().await.unwrap();
    let sent = cluster.now();
    a.faulty.set(Fault::LoseAnswer);
    let sync = SyncState { revision: Revision(0), leader: Some("z".into()), standbys: ["a".into()].into() };
    let outcome = a.acquire_with(&cluster, Some(sync.clone())).await;
    assert!(matches!(&outcome, AcquireOutcome::Failed(error) if error.may_have_landed()), "{outcome:?}");
    assert!(!matches!(a.lease(), Lease::Mine(_)), "unknown is not mine");
    a.faulty.set(Fault::None);
    cluster.pass(seconds(5));
    let Lease::Mine(held) = a.look(&cluster).await else { panic!("{:?}", a.lease()) };
    assert_eq!(held.until, sent.boot + Duration::from_millis(59_400), "counted from the send, not from the read");
    let known = held.sync_at_acquisition.as_ref().unwrap();
    assert_eq!((&known.leader, &known.standbys), (&sync.leader, &sync.standbys));
    assert!(matches!(a.renewed().await, again if again.epoch == held.epoch));
}

async fn an_acquisition_that_landed_unseen_is_found_by_the_next(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap());
    a.keeper.keep_expiry().await.unwrap();
    a.faulty.set(Fault::LoseAnswer);
    assert!(matches!(a.acquire(&cluster).await, AcquireOutcome::Failed(_)));
    a.faulty.set(Fault::None);
    let AcquireOutcome::Won(held) = a.acquire(&cluster).await else { panic!("the own record was not recognised") };
    assert_eq!(cluster.record().await.seq, 0, "nothing was written a second time");
    assert_eq!(a.held().epoch, held.epoch);
}

async fn a_lost_answer_to_a_renewal_extends_nothing(cluster: Cluster) {
    let a = cluster.node("a", 1);
    let held = a.lead(&cluster).await;
    cluster.pass(seconds(10));
    a.faulty.set(Fault::LoseAnswer);
    let sent = cluster.now();
    let outcome = a.keeper.renew().await;
    assert!(matches!(outcome, RenewOutcome::Failed(_)), "{outcome:?}");
    assert!(a.held().until <= sent.boot + Duration::from_millis(59_400));
    a.faulty.set(Fault::None);
    cluster.pass(seconds(10));
    let again = a.renewed().await;
    assert_eq!(again.until, cluster.now().boot + Duration::from_millis(59_400));
    assert_eq!((again.epoch, again.acquisition), (held.epoch, held.acquisition), "the same acquisition");
}

async fn a_lost_request_to_renew_extends_nothing_and_the_lease_goes_on(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    let until = a.held().until;
    for fault in [Fault::LoseRequest, Fault::CutOff] {
        a.faulty.set(fault);
        cluster.pass(seconds(10));
        assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)));
        assert_eq!(a.held().until, until);
    }
    b.look(&cluster).await;
    cluster.pass(seconds(61));
    assert_eq!(a.left(), Duration::ZERO);
    assert!(b.keeper.confirm_vacant().await.unwrap());
    let AcquireOutcome::Won(newer) = b.acquire(&cluster).await else { panic!("{:?}", b.lease()) };
    assert!(newer.epoch > held.epoch);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)), "still cut off");
    a.faulty.set(Fault::None);
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    assert_eq!(a.keeper.until(), None);
}

async fn a_holder_frozen_past_its_ttl_cannot_harm(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    b.look(&cluster).await;
    // Both requests leave the frozen node's client before, and reach the store after the take-over.
    a.faulty.set(Fault::HoldRequest);
    let renewal = tokio::spawn({
        let keeper = a.keeper.clone();
        async move { keeper.renew().await }
    });
    let write = tokio::spawn({
        let (keeper, key) = (a.keeper.clone(), cluster.keys.status());
        async move { keeper.leader_write(vec![Op::put(key, "late")], Vec::new(), PATIENCE).await }
    });
    until("both are on their way", async || (a.faulty.held() == 2).then_some(())).await;
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.unwrap());
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
    assert_eq!(a.left(), Duration::ZERO, "over by its own clock, whatever the store says");
    a.faulty.set(Fault::None);
    a.faulty.let_go();
    a.faulty.let_go();
    assert_eq!(renewal.await.unwrap(), RenewOutcome::Lost);
    assert_eq!(write.await.unwrap(), WriteOutcome::Lost);
    assert_eq!(cluster.value(cluster.keys.status()).await, None);
    assert!(matches!(a.lease(), Lease::Theirs(_)));
}

async fn a_restarted_agent_takes_its_lease_up_again(cluster: Cluster) {
    let before = cluster.node("a", 1);
    let held = before.lead(&cluster).await;
    cluster.pass(seconds(10));
    let held = Held { until: before.renewed().await.until, ..held };
    let page = Adopted { epoch: held.epoch, until: before.keeper.until().unwrap() };
    drop(before.mirror);

    let a = cluster.node("a", 1);
    a.keeper.adopt(page);
    cluster.pass(seconds(3));
    let Lease::Mine(again) = a.look(&cluster).await else { panic!("{:?}", a.lease()) };
    assert_eq!((again.epoch, again.acquisition, again.until), (held.epoch, held.acquisition, held.until));
    let renewed = a.renewed().await;
    assert_eq!((renewed.epoch, renewed.acquisition), (held.epoch, held.acquisition));
    let expiry = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap().expiry;
    a.keeper.put_member(b"{}".to_vec()).await.unwrap();
    a.keeper.keep_expiry().await.unwrap();
    assert!(expiry.is_some(), "the leader key still hangs on the expiry of the process before, which is kept alive");

    // The page is seen after the record: the same.
    let late = a.restarted(&cluster);
    late.look(&cluster).await;
    assert!(matches!(late.lease(), Lease::Theirs(theirs) if !theirs.twin), "own name and nonce, but no page: not ours, no twin");
    late.keeper.adopt(Adopted { epoch: renewed.epoch, until: a.keeper.until().unwrap() });
    assert!(matches!(late.lease(), Lease::Mine(_)));

    let other = a.restarted(&cluster);
    other.keeper.adopt(Adopted { epoch: Epoch(renewed.epoch.0 - 1), until: page.until });
    assert!(matches!(other.look(&cluster).await, Lease::Theirs(_)), "the page speaks of another epoch");
}

async fn a_second_node_of_the_same_name_is_a_twin(cluster: Cluster) {
    let a = cluster.node("a", 1);
    let held = a.lead(&cluster).await;
    let twin = cluster.node("a", 2);
    twin.keeper.adopt(Adopted { epoch: held.epoch, until: a.keeper.until().unwrap() });
    let Lease::Theirs(theirs) = twin.look(&cluster).await else { panic!("{:?}", twin.lease()) };
    assert!(theirs.twin);
    assert_eq!(twin.keeper.renew().await, RenewOutcome::Lost);
    a.renewed().await;
}

async fn an_absent_leader_key_is_put_back_and_is_not_vacant(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    b.look(&cluster).await;
    cluster.write(vec![Op::Delete(cluster.keys.leader())]).await;
    let Lease::Theirs(theirs) = b.look(&cluster).await else { panic!("the record is fresh: {:?}", b.lease()) };
    assert_eq!(theirs.epoch, held.epoch);
    let stale = a.keeper.leader_write(vec![Op::put(cluster.keys.status(), "1")], Vec::new(), PATIENCE).await;
    assert_eq!(stale, WriteOutcome::Lost, "the number of the acquisition is gone with the key");
    let calls = a.faulty.calls();
    let again = a.renewed().await;
    assert_eq!(a.faulty.calls() - calls, 2, "the failed comparison reads, the second transaction puts back");
    assert!(again.epoch > held.epoch, "a new acquisition by the same holder");
    assert_eq!(again.until, cluster.now().boot + Duration::from_millis(59_400));
    assert!(matches!(b.look(&cluster).await, Lease::Theirs(theirs) if theirs.epoch == again.epoch));
    let done = a.keeper.leader_write(vec![Op::put(cluster.keys.status(), "1")], Vec::new(), PATIENCE).await;
    assert!(matches!(done, WriteOutcome::Done(_)));
    // Seen by the mirror first: one transaction is enough.
    cluster.write(vec![Op::Delete(cluster.keys.leader())]).await;
    a.look(&cluster).await;
    let calls = a.faulty.calls();
    assert!(a.renewed().await.epoch > again.epoch);
    assert_eq!(a.faulty.calls() - calls, 1);
    assert_eq!(cluster.value(cluster.keys.leader()).await.as_deref(), Some("a"));
    assert!(a.renewed().await.epoch == a.held().epoch);
}

async fn an_expiry_that_ended_is_made_anew_for_the_leader_key(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.keeper.put_member(b"me".to_vec()).await.unwrap();
    let held = a.lead(&cluster).await;
    let leader = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap();
    let member = cluster.store.get(&cluster.keys.member(&"a".into()), PATIENCE).await.unwrap().unwrap();
    assert_eq!(leader.expiry, member.expiry, "both hang on one expiry");
    cluster.store.revoke(leader.expiry.unwrap(), PATIENCE).await.unwrap();
    assert_eq!(cluster.value(cluster.keys.leader()).await, None);
    assert!(a.renewed().await.epoch > held.epoch);
    a.keeper.keep_expiry().await.unwrap();
    let leader = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap();
    assert_ne!(leader.expiry, member.expiry);
    cluster.store.revoke(leader.expiry.unwrap(), PATIENCE).await.unwrap();
    a.keeper.keep_expiry().await.unwrap();
    assert_eq!(cluster.value(cluster.keys.member(&"a".into())).await.as_deref(), Some("me"), "the member key is put again");
    a.keeper.leave().await.unwrap();
    assert_eq!(cluster.value(cluster.keys.member(&"a".into())).await, None);
}

async fn a_foreign_leader_key_is_theirs_however_old_the_record(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    b.look(&cluster).await;
    cluster.write(vec![Op::put(cluster.keys.leader(), "patroni")]).await;
    let created = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap().create_revision;
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    cluster.pass(seconds(200));
    for node in [&a, &b] {
        let Lease::Theirs(theirs) = node.look(&cluster).await else { panic!("{:?}", node.lease()) };
        assert_eq!((theirs.holder.0.as_str(), theirs.vacant_at), ("patroni", Moment::MAX));
        assert_eq!(theirs.epoch.0, created.0, "base + the creation of its leader key");
        assert!(!node.keeper.confirm_vacant().await.unwrap());
    }
    cluster.write(vec![Op::Delete(cluster.keys.leader())]).await;
    b.look(&cluster).await;
    assert!(b.keeper.confirm_vacant().await.unwrap(), "vacant when its key is gone");
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
}

async fn a_leader_key_of_the_same_name_by_another_hand_is_foreign(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    // Node a goes back to Patroni: same name, no record.
    cluster.write(vec![Op::put(cluster.keys.leader(), "a")]).await;
    assert!(matches!(b.look(&cluster).await, Lease::Theirs(theirs) if theirs.holder.0 == "a"));
}

async fn a_release_is_vacant_at_once(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    cluster.write(vec![Op::put(cluster.keys.failover(), "{}")]).await;
    assert_eq!(a.keeper.release(Some(b"to b".to_vec()), true).await, ReleaseOutcome::Released);
    assert_eq!(cluster.value(cluster.keys.leader()).await, None);
    assert_eq!(cluster.value(cluster.keys.failover()).await, None);
    assert_eq!(cluster.value(cluster.keys.handoff()).await.as_deref(), Some("to b"));
    for node in [&a, &b] {
        let Lease::Vacant { released: true, last_holder, last_epoch, .. } = node.look(&cluster).await else {
            panic!("{}: {:?}", node.name, node.lease())
        };
        assert_eq!((last_holder.unwrap().0.as_str(), last_epoch), ("a", held.epoch));
    }
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released, "again does no harm");
    assert_eq!(b.keeper.release(None, false).await, ReleaseOutcome::Lost);
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    let AcquireOutcome::Won(newer) = b.acquire(&cluster).await else { panic!("{:?}", b.lease()) };
    assert!(newer.epoch > held.epoch);
}

async fn a_release_with_a_lost_answer_is_asked_again(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.lead(&cluster).await;
    a.faulty.set(Fault::LoseAnswer);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)), "it landed, unseen");
    assert!(matches!(a.keeper.release(None, false).await, ReleaseOutcome::Failed(_)));
    a.faulty.set(Fault::None);
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    assert!(cluster.record().await.released);
}

async fn leader_writes_go_beside_renewals_and_compare(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.lead(&cluster).await;
    a.faulty.set(Fault::HoldRequest);
    let write = tokio::spawn({
        let (keeper, key) = (a.keeper.clone(), cluster.keys.status());
        async move { keeper.leader_write(vec![Op::put(key.clone(), "1")], vec![Compare::Absent(key)], PATIENCE).await }
    });
    until("the write is on its way", async || (a.faulty.held() == 1).then_some(())).await;
    a.faulty.set(Fault::None);
    a.renewed().await;
    a.renewed().await;
    a.faulty.let_go();
    assert!(matches!(write.await.unwrap(), WriteOutcome::Done(_)), "renewals do not touch the number it compares");
    let again = a.keeper.leader_write(vec![Op::put(cluster.keys.status(), "2")], vec![Compare::Absent(cluster.keys.status())], PATIENCE);
    assert_eq!(again.await, WriteOutcome::Conflict);
    assert_eq!(cluster.value(cluster.keys.status()).await.as_deref(), Some("1"));
    let b = cluster.node("b", 2);
    b.look(&cluster).await;
    assert_eq!(b.keeper.leader_write(vec![Op::put(cluster.keys.status(), "3")], Vec::new(), PATIENCE).await, WriteOutcome::Lost);
}

async fn a_pending_write_of_sync_stops_an_acquisition_and_the_other_way_round(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    b.look(&cluster).await;
    let before = cluster.store.get(&cluster.keys.sync(), PATIENCE).await.unwrap().unwrap();
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.unwrap());
    let Lease::Vacant { record, .. } = b.lease() else { panic!("{:?}", b.lease()) };
    // The old leader's write comes between b's look and b's transaction.
    let write = |value: &'static str, seen| {
        let txn = Txn { compares: vec![Compare::ModRevision(cluster.keys.sync(), seen)], then: vec![Op::put(cluster.keys.sync(), value)], ..Txn::default() };
        let store = cluster.store.clone();
        async move { store.txn(txn, PATIENCE).await.unwrap().succeeded }
    };
    assert!(write("a alone", before.mod_revision).await);
    let stale = SyncNow { revision: before.mod_revision, value: before.value, state: None };
    assert_eq!(b.keeper.acquire(record, stale).await, AcquireOutcome::SyncChanged);
    assert_eq!(cluster.value(cluster.keys.sync()).await.as_deref(), Some("a alone"));
    let seen = cluster.store.get(&cluster.keys.sync(), PATIENCE).await.unwrap().unwrap().mod_revision;
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
    assert!(!write("a alone again", seen).await, "a write of the old leader that was pending must fail now, a Patroni's too");
}

async fn a_record_that_does_not_read_is_not_vacant(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    b.look(&cluster).await;
    cluster.write(vec![Op::put(cluster.keys.lease(), "\u{0}garbage")]).await;
    assert_eq!(b.look(&cluster).await, Lease::Unknown);
    assert!(b.keeper.trouble().is_some());
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    cluster.pass(seconds(60));
    assert!(!b.keeper.confirm_vacant().await.unwrap());
    cluster.pass(seconds(1));
    assert!(b.keeper.confirm_vacant().await.unwrap(), "nobody renewed it for a whole ttl, whatever it means");
    let AcquireOutcome::Won(newer) = b.acquire(&cluster).await else { panic!("{:?}", b.lease()) };
    assert!(newer.epoch > held.epoch);
    assert_eq!(b.keeper.trouble(), None);
}

async fn the_base_raises_the_epoch(cluster: Cluster) {
    cluster.write(vec![Op::put(cluster.keys.epoch(), encode_base(Epoch(1_000_000)))]).await;
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    assert_eq!(held.epoch.0, 1_000_000 + held.acquisition.0);
    assert!(matches!(b.look(&cluster).await, Lease::Theirs(theirs) if theirs.epoch == held.epoch));
    cluster.write(vec![Op::put(cluster.keys.epoch(), encode_base(Epoch(2_000_000)))]).await;
    assert_eq!(a.renewed().await.epoch, held.epoch, "an acquisition keeps its epoch");
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    b.look(&cluster).await;
    cluster.write(vec![Op::put(cluster.keys.epoch(), encode_base(Epoch(3_000_000)))]).await;
    let AcquireOutcome::Won(newer) = b.acquire(&cluster).await else { panic!("{:?}", b.lease()) };
    assert_eq!(newer.epoch.0, 3_000_000 + newer.acquisition.0, "raised between look and transaction: seen all the same");
    assert_eq!(b.keeper.release(None, false).await, ReleaseOutcome::Released);
    cluster.write(vec![Op::put(cluster.keys.epoch(), "garbage")]).await;
    a.look(&cluster).await;
    assert!(matches!(a.acquire(&cluster).await, AcquireOutcome::Failed(_)), "no epoch can be told");
}

async fn a_vanished_record_is_timed_like_any_other(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    b.look(&cluster).await;
    cluster.write(vec![Op::Delete(cluster.keys.lease()), Op::Delete(cluster.keys.leader())]).await;
    assert_eq!(b.look(&cluster).await, Lease::Unknown, "the holder may not have noticed");
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.unwrap());
}

type Scenario = fn(Cluster) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let local = super::Local::start(false);
                    super::$name(super::Cluster::new(local.connect(), stringify!($name))).await;
                }
            )*
        }

        const ALL: &[(&str, Scenario)] = &[$((stringify!($name), |cluster| Box::pin($name(cluster)))),*];
    };
}

scenarios![
    a_fresh_node_waits_a_full_ttl_and_asks_once_more,
    of_two_that_race_one_wins,
    of_a_late_renewal_and_a_take_over_one_wins,
    a_lost_answer_to_an_acquisition_is_read_back,
    an_acquisition_that_landed_unseen_is_found_by_the_next,
    a_lost_answer_to_a_renewal_extends_nothing,
    a_lost_request_to_renew_extends_nothing_and_the_lease_goes_on,
    a_holder_frozen_past_its_ttl_cannot_harm,
    a_restarted_agent_takes_its_lease_up_again,
    a_second_node_of_the_same_name_is_a_twin,
    an_absent_leader_key_is_put_back_and_is_not_vacant,
    an_expiry_that_ended_is_made_anew_for_the_leader_key,
    a_foreign_leader_key_is_theirs_however_old_the_record,
    a_leader_key_of_the_same_name_by_another_hand_is_foreign,
    a_release_is_vacant_at_once,
    a_release_with_a_lost_answer_is_asked_again,
    leader_writes_go_beside_renewals_and_compare,
    a_pending_write_of_sync_stops_an_acquisition_and_the_other_way_round,
    a_record_that_does_not_read_is_not_vacant,
    the_base_raises_the_epoch,
    a_vanished_record_is_timed_like_any_other,
];

/// One etcd for all of them, each with a scope of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_on_etcd() {
    let etcd = Etcd::start(1).await;
    let mut failed = Vec::new();
    for (name, scenario) in ALL {
        let cluster = Cluster::new(etcd.connect().await, name);
        let here = tokio::task::LocalSet::new();
        if here.run_until(here.spawn_local(scenario(cluster))).await.is_err() {
            failed.push(*name);
        }
    }
    assert_eq!(failed, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_embedded_store_costs_no_lease() {
    let mut local = Local::start(true);
    let cluster = Cluster::new(local.connect(), "main");
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    b.look(&cluster).await;
    local.stop().await;
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)));
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.is_err(), "no store, no vacancy");
    assert!(matches!(b.lease(), Lease::Theirs(_)));
    local.go();
    let renewed = until("the renewal passes", async || match a.keeper.renew().await {
        RenewOutcome::Renewed(held) => Some(held),
        RenewOutcome::Failed(_) => None,
        RenewOutcome::Lost => panic!("lost"),
    })
    .await;
    assert_eq!((renewed.epoch, renewed.acquisition), (held.epoch, held.acquisition));
    assert!(!b.keeper.confirm_vacant().await.unwrap(), "the confirming read shows the renewal");
    assert!(matches!(b.look(&cluster).await, Lease::Theirs(theirs) if theirs.epoch == held.epoch));
}

/// The one test on the real clock: three members, a real ttl, renewals as the engine paces them. The store's leader is stopped for
/// longer than ttl, then continued, then killed; the holder never comes near its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_and_a_killed_leader_of_etcd_cost_no_lease() {
    let ttl = seconds(10);
    let mut etcd = Etcd::start(3).await;
    let keys = Keys::new("service", "main");
    let clock = Clock::system();
    let keeper = Arc::new(Keeper::new(etcd.connect().await, keys.clone(), "a".into(), 1, ttl, clock.clone()));
    let mirror = Mirror::spawn(etcd.connect().await, keys.prefix().to_owned(), clock.clone(), seconds(2));
    until("the first look", async || {
        keeper.observe(&mirror.snapshot(), clock.now());
        keeper.confirm_vacant().await.unwrap_or(false).then_some(())
    })
    .await;
    let Lease::Vacant { record, .. } = keeper.lease(clock.now()) else { panic!("{:?}", keeper.lease(clock.now())) };
    let sync = SyncNow { revision: Revision(0), value: b"{}".to_vec(), state: None };
    let AcquireOutcome::Won(held) = keeper.acquire(record, sync).await else { panic!("not acquired") };
    let alive = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.keep_expiry_alive().await }
    });

    let least = Arc::new(AtomicU64::new(u64::MAX));
    let renewals = tokio::spawn({
        let (keeper, clock, least) = (keeper.clone(), clock.clone(), least.clone());
        async move {
            loop {
                let outcome = keeper.renew().await;
                assert_ne!(outcome, RenewOutcome::Lost);
                let left = keeper.until().map_or(Duration::ZERO, |until| clock.now().left_until(until));
                least.fetch_min(u64::try_from(left.as_millis()).unwrap(), Ordering::SeqCst);
                if matches!(outcome, RenewOutcome::Renewed(_)) {
                    tokio::time::sleep(ttl / 5).await;
                }
            }
        }
    });
    let leader = etcd.leader();
    etcd.signal(leader, "-STOP");
    // Longer than ttl: the length of the fault, not of a wait for its effect.
    tokio::time::sleep(seconds(13)).await;
    assert_ne!(etcd.leader_but(leader), leader, "the others chose a new leader");
    etcd.signal(leader, "-CONT");
    let leader = etcd.leader_but(leader);
    etcd.kill(leader);
    let store = etcd.connect().await;
    let before = mirror.snapshot().revision;
    until("renewals go on without it", async || {
        store.list(keys.prefix(), seconds(2)).await.ok().filter(|listing| listing.revision.0 > before.0 + 2)
    })
    .await;
    assert!(!renewals.is_finished(), "the lease was lost");
    renewals.abort();
    alive.abort();
    let least = least.load(Ordering::SeqCst);
    println!("least left of the lease: {least} ms of {} ms", ttl.as_millis());
    assert!(least > 0);
    let Lease::Mine(now) = keeper.lease(clock.now()) else { panic!("{:?}", keeper.lease(clock.now())) };
    assert_eq!(now.epoch, held.epoch, "the leader key was never lost either");
}
