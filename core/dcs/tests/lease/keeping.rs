//! Keeping the lease: lost answers, a frozen holder, a restarted agent, the leader key lost, leader writes.

use crate::cluster::{Cluster, seconds};
use crate::support::{PATIENCE, until};
use std::time::Duration;
use tanist_dcs::faulty::Fault;
use tanist_dcs::lease::{AcquireOutcome, Adopted, RenewOutcome, WriteOutcome};
use tanist_dcs::{Compare, Op};
use tanist_engine::{Epoch, Held, Lease, Moment};

pub async fn a_lost_answer_to_a_renewal_extends_nothing(cluster: Cluster) {
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

pub async fn a_lost_request_to_renew_extends_nothing_and_the_lease_goes_on(cluster: Cluster) {
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

/// The holder was promised 60 s. A ttl of 5 s comes with the next renewal, and then nothing passes any more: the others, who go by the
/// record they have seen last, must not take over while the holder still counts on the longer one.
pub async fn a_shorter_ttl_lets_nobody_in_before_the_holder_is_out(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    cluster.pass(seconds(10));
    a.keeper.set_ttl(seconds(5));
    a.renewed().await;
    b.look(&cluster).await;
    a.faulty.set(Fault::CutOff);
    for _ in 0..120 {
        cluster.pass(Duration::from_millis(500));
        if b.keeper.wants_confirmation(cluster.now()) && b.keeper.confirm_vacant().await.unwrap() {
            break;
        }
    }
    assert!(matches!(b.lease(), Lease::Vacant { .. }), "{:?}", b.lease());
    assert_eq!(a.left(), Duration::ZERO, "vacant while its holder counts on it");
    // Renewed in time it comes into force as the longer one runs out.
    a.faulty.set(Fault::None);
    let AcquireOutcome::Won(_) = b.acquire(&cluster).await else { panic!("{:?}", b.lease()) };
    b.keeper.set_ttl(seconds(5));
    for _ in 0..60 {
        cluster.pass(seconds(1));
        b.renewed().await;
    }
    assert_eq!(cluster.record().await.ttl, seconds(5));
    assert!(b.left() <= seconds(5));
}

pub async fn a_holder_frozen_past_its_ttl_cannot_harm(cluster: Cluster) {
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

pub async fn a_restarted_agent_takes_its_lease_up_again(cluster: Cluster) {
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

pub async fn an_absent_leader_key_is_put_back_and_is_not_vacant(cluster: Cluster) {
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
    // Overwritten by hand with our own name: others take it for foreign until it is ours again.
    let before = a.held().epoch;
    cluster.write(vec![Op::put(cluster.keys.leader(), "a")]).await;
    assert!(matches!(b.look(&cluster).await, Lease::Theirs(theirs) if theirs.vacant_at == Moment::MAX));
    let again = a.renewed().await;
    assert!(again.epoch > before);
    assert!(matches!(b.look(&cluster).await, Lease::Theirs(theirs) if theirs.epoch == again.epoch));
}

pub async fn an_expiry_that_ended_is_made_anew_for_the_leader_key(cluster: Cluster) {
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

/// The store's own expiry has the length of ttl, too. The leader key stays where it is: its number is the epoch.
pub async fn a_changed_ttl_changes_the_expiry_under_the_member_key(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.keeper.put_member(b"me".to_vec()).await.unwrap();
    a.lead(&cluster).await;
    let leader = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap();
    let member = async || cluster.store.get(&cluster.keys.member(&"a".into()), PATIENCE).await.unwrap().unwrap();
    let before = member().await;
    a.keeper.keep_expiry().await.unwrap();
    assert_eq!(member().await, before, "nothing has changed");
    a.keeper.set_ttl(seconds(90));
    for _ in 0..3 {
        a.keeper.keep_expiry().await.unwrap();
        a.renewed().await;
        assert_ne!(member().await.expiry, before.expiry);
        assert_eq!(cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap(), Some(leader.clone()), "the same number");
    }
    let moved = member().await;
    a.keeper.keep_expiry().await.unwrap();
    assert_eq!(member().await, moved, "moved once");
}

pub async fn leader_writes_go_beside_renewals_and_compare(cluster: Cluster) {
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
    let again =
        a.keeper.leader_write(vec![Op::put(cluster.keys.status(), "2")], vec![Compare::Absent(cluster.keys.status())], PATIENCE);
    assert_eq!(again.await, WriteOutcome::Conflict);
    assert_eq!(cluster.value(cluster.keys.status()).await.as_deref(), Some("1"));
    let b = cluster.node("b", 2);
    b.look(&cluster).await;
    assert_eq!(b.keeper.leader_write(vec![Op::put(cluster.keys.status(), "3")], Vec::new(), PATIENCE).await, WriteOutcome::Lost);
}

/// Lowered while the holder counts on more: nobody takes over before that is over, and when it is, the new ttl is all there is.
pub async fn a_lowered_ttl_is_waited_for_as_it_was_promised(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    for node in [&a, &b] {
        node.keeper.set_ttl(seconds(5));
    }
    cluster.pass(seconds(1));
    a.renewed().await;
    assert!(a.left() > seconds(50), "what was promised to this holder holds: {:?}", a.left());
    b.look(&cluster).await;
    a.faulty.set(Fault::CutOff);
    let mut waited = 0;
    while !b.keeper.wants_confirmation(cluster.now()) {
        cluster.pass(seconds(1));
        waited += 1;
        assert!(waited < 70, "nobody ever takes over");
    }
    assert!(b.keeper.confirm_vacant().await.unwrap());
    assert_eq!(a.left(), Duration::ZERO, "the others came first, after {waited} s");
    let AcquireOutcome::Won(_) = b.acquire(&cluster).await else { panic!("{:?}", b.lease()) };
    assert_eq!(cluster.record().await.ttl, seconds(5));
}

pub async fn a_lowered_ttl_comes_true_by_renewals(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    for node in [&a, &b] {
        node.keeper.set_ttl(seconds(5));
    }
    let mut last = cluster.record().await.ttl;
    for _ in 0..60 {
        cluster.pass(seconds(1));
        a.renewed().await;
        let carried = cluster.record().await.ttl;
        assert!(carried <= last, "{carried:?} after {last:?}");
        last = carried;
    }
    assert_eq!((last, a.held().epoch), (seconds(5), held.epoch));
    b.look(&cluster).await;
    cluster.pass(Duration::from_millis(5_100));
    assert_eq!(a.left(), Duration::ZERO);
    assert!(b.keeper.confirm_vacant().await.unwrap());
}

/// Raised: what the record said before counts until the first renewal that says more.
pub async fn a_raised_ttl_counts_from_the_renewal_that_carries_it(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    for node in [&a, &b] {
        node.keeper.set_ttl(seconds(120));
    }
    assert!(a.left() < seconds(60), "{:?}", a.left());
    cluster.pass(seconds(12));
    a.renewed().await;
    assert_eq!(a.left(), Duration::from_millis(118_800));
    b.look(&cluster).await;
    cluster.pass(seconds(110));
    assert!(!b.keeper.wants_confirmation(cluster.now()), "{:?}", b.lease());
    cluster.pass(seconds(12));
    assert_eq!(a.left(), Duration::ZERO);
    assert!(b.keeper.confirm_vacant().await.unwrap());
}

/// A Patroni takes the leader key as soon as the store has ended it, so nothing is counted beyond that.
pub async fn beside_a_patroni_the_lease_is_no_longer_than_the_expiry(cluster: Cluster) {
    let a = cluster.node("a", 1);
    let held = a.lead(&cluster).await;
    let calls = a.faulty.calls();
    a.renewed().await;
    assert_eq!(a.faulty.calls() - calls, 1, "alone");
    a.keeper.beside_patroni(true);
    let calls = a.faulty.calls();
    a.renewed().await;
    assert_eq!(a.faulty.calls() - calls, 2, "the expiry, then the record");

    // The word for the expiry is slow: the renewal behind it counts from before it.
    cluster.pass(seconds(10));
    let begun = cluster.now();
    a.faulty.set(Fault::HoldRequest);
    let renewal = tokio::spawn({
        let keeper = a.keeper.clone();
        async move { keeper.renew().await }
    });
    until("it is on its way", async || (a.faulty.held() == 1).then_some(())).await;
    cluster.pass(seconds(2));
    a.faulty.set(Fault::None);
    a.faulty.let_go();
    assert!(matches!(renewal.await.unwrap(), RenewOutcome::Renewed(_)));
    assert_eq!(a.keeper.until(), Some(begun.plus(Duration::from_millis(59_400))));

    // An expiry that does not hear from its node: nothing is counted, however well the record could be written.
    let before = a.keeper.until();
    a.faulty.set(Fault::CutOff);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)));
    assert_eq!(a.keeper.until(), before);
    a.faulty.set(Fault::None);

    // One that has ended took the leader key with it: the key is put back on the next one, under a new epoch.
    let leader = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap();
    cluster.store.revoke(leader.expiry.unwrap(), PATIENCE).await.unwrap();
    assert!(a.renewed().await.epoch > held.epoch);
    let again = cluster.store.get(&cluster.keys.leader(), PATIENCE).await.unwrap().unwrap();
    assert_ne!(again.expiry, leader.expiry);

    // The expiry is the shorter one: the leader key still hangs on it after the ttl was raised.
    a.keeper.set_ttl(seconds(90));
    let begun = cluster.now();
    a.renewed().await;
    assert_eq!(a.keeper.until(), Some(begun.plus(Duration::from_millis(59_400))));
    assert_eq!(cluster.record().await.ttl, seconds(90), "the others wait as long as ever");

    // Long after the last Patroni was seen it is as before.
    for _ in 0..31 {
        cluster.pass(seconds(30));
        a.renewed().await;
    }
    assert_eq!(a.keeper.until(), Some(cluster.now().plus(Duration::from_millis(89_100))));
}
