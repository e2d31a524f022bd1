//! Taking the lease: waiting, races, lost answers.

use crate::cluster::{Cluster, seconds};
use crate::support::PATIENCE;
use std::time::Duration;
use tanist_dcs::faulty::Fault;
use tanist_dcs::lease::{AcquireOutcome, ReleaseOutcome, RenewOutcome, SyncNow, encode_base};
use tanist_dcs::{Compare, Op, Txn};
use tanist_engine::{Epoch, Lease, Revision, SyncState};

pub async fn a_fresh_node_waits_a_full_ttl_and_asks_once_more(cluster: Cluster) {
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

pub async fn of_two_that_race_one_wins(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.look(&cluster).await;
    b.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap() && b.keeper.confirm_vacant().await.unwrap());
    let outcomes = tokio::join!(a.acquire(&cluster), b.acquire(&cluster));
    let (winner, loser, held) = match outcomes {
        (AcquireOutcome::Won(held), AcquireOutcome::Lost | AcquireOutcome::ViewChanged) => (&a, &b, held),
        (AcquireOutcome::Lost | AcquireOutcome::ViewChanged, AcquireOutcome::Won(held)) => (&b, &a, held),
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

pub async fn of_a_late_renewal_and_a_take_over_one_wins(cluster: Cluster) {
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

pub async fn a_lost_answer_to_an_acquisition_is_read_back(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap());
    // The expiry is made before, its answer is not what is lost here.
    a.keeper.keep_expiry().await.unwrap();
    let sent = cluster.now();
    a.faulty.set(Fault::LoseAnswer);
    let sync = SyncState { revision: Revision(0), leader: Some("z".into()), standbys: ["a".into()].into(), quorum: 0 };
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

pub async fn an_acquisition_that_landed_unseen_is_found_by_the_next(cluster: Cluster) {
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

pub async fn a_pending_write_of_sync_stops_an_acquisition_and_the_other_way_round(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    b.look(&cluster).await;
    let before = cluster.store.get(&cluster.keys.sync(), PATIENCE).await.unwrap().unwrap();
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.unwrap());
    let Lease::Vacant { record, .. } = b.lease() else { panic!("{:?}", b.lease()) };
    // The old leader's write comes between b's look and b's transaction.
    let write = |value: &'static str, seen| {
        let txn = Txn {
            compares: vec![Compare::ModRevision(cluster.keys.sync(), seen)],
            then: vec![Op::put(cluster.keys.sync(), value)],
            ..Txn::default()
        };
        let store = cluster.store.clone();
        async move { store.txn(txn, PATIENCE).await.unwrap().succeeded }
    };
    assert!(write("a alone", before.mod_revision).await);
    let stale = SyncNow { revision: before.mod_revision, value: before.value, state: None, initialize: Revision(0) };
    assert_eq!(b.keeper.acquire(record, stale).await, AcquireOutcome::ViewChanged);
    assert_eq!(cluster.value(cluster.keys.sync()).await.as_deref(), Some("a alone"));
    let seen = cluster.store.get(&cluster.keys.sync(), PATIENCE).await.unwrap().unwrap().mod_revision;
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
    assert!(!write("a alone again", seen).await, "a write of the old leader that was pending must fail now, a Patroni's too");
}

/// Whoever takes the lease to create a cluster must know that there is none.
pub async fn an_initialize_that_was_not_seen_stops_an_acquisition(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    b.look(&cluster).await;
    let Lease::Vacant { record, .. } = b.lease() else { panic!("{:?}", b.lease()) };
    let sync = cluster.store.get(&cluster.keys.sync(), PATIENCE).await.unwrap().unwrap();
    cluster.write(vec![Op::put(cluster.keys.initialize(), "7000")]).await;
    let stale = SyncNow { revision: sync.mod_revision, value: sync.value, state: None, initialize: Revision(0) };
    assert_eq!(b.keeper.acquire(record, stale).await, AcquireOutcome::ViewChanged);
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
}

pub async fn the_base_raises_the_epoch(cluster: Cluster) {
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

pub async fn an_acquisition_read_back_after_its_end_is_not_ours(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap());
    a.keeper.keep_expiry().await.unwrap();
    a.faulty.set(Fault::LoseAnswer);
    assert!(matches!(a.acquire(&cluster).await, AcquireOutcome::Failed(_)));
    a.faulty.set(Fault::None);
    cluster.pass(seconds(61));
    assert!(matches!(a.look(&cluster).await, Lease::Theirs(theirs) if theirs.holder.0 == "a" && !theirs.twin));
    assert_eq!(a.keeper.until(), None);
}
