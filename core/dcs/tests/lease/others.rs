//! What is not ours: a twin, a Patroni's key, garbage, a record that vanished.

use crate::cluster::{Cluster, seconds};
use crate::support::PATIENCE;
use std::time::Duration;
use tanist_dcs::Op;
use tanist_dcs::lease::{AcquireOutcome, Adopted, MemberError, ReleaseOutcome, RenewOutcome};
use tanist_engine::{Lease, Moment};

pub async fn a_second_node_of_the_same_name_is_a_twin(cluster: Cluster) {
    let a = cluster.node("a", 1);
    let held = a.lead(&cluster).await;
    let twin = cluster.node("a", 2);
    twin.keeper.adopt(Adopted { epoch: held.epoch, until: a.keeper.until().unwrap() });
    let Lease::Theirs(theirs) = twin.look(&cluster).await else { panic!("{:?}", twin.lease()) };
    assert!(theirs.twin);
    assert_eq!(twin.keeper.renew().await, RenewOutcome::Lost);
    a.renewed().await;
}

/// Two nodes of one name at the same moment: one of them gets it, the other is told who has it, also after the key has expired.
pub async fn of_two_nodes_of_one_name_one_gets_the_member_key(cluster: Cluster) {
    let (one, other) = (cluster.node("a", 1), cluster.node("a", 2));
    one.keeper.tell_own(|value| value.starts_with(b"one"));
    other.keeper.tell_own(|value| value.starts_with(b"other"));
    let (first, second) = tokio::join!(one.keeper.put_member(b"one".to_vec()), other.keeper.put_member(b"other".to_vec()));
    let (winner, loser, value) = match (first, second) {
        (Ok(_), Err(MemberError::Taken(seen))) if seen == b"one" => (&one, &other, "one"),
        (Err(MemberError::Taken(seen)), Ok(_)) if seen == b"other" => (&other, &one, "other"),
        both => panic!("{both:?}"),
    };
    winner.keeper.put_member(format!("{value} again").into_bytes()).await.unwrap();
    loser.keeper.keep_expiry().await.unwrap();
    assert_eq!(cluster.value(cluster.keys.member(&"a".into())).await, Some(format!("{value} again")));
    winner.keeper.leave().await.unwrap();
    let next = if value == "one" { b"other".to_vec() } else { b"one".to_vec() };
    loser.keeper.put_member(next.clone()).await.unwrap();
    assert_eq!(winner.keeper.put_member(b"back".to_vec()).await, Err(MemberError::Taken(next)));
}

pub async fn a_foreign_leader_key_is_theirs_however_old_the_record(cluster: Cluster) {
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
        let (now, next) = (cluster.now(), node.keeper.next_change(cluster.now()).unwrap());
        assert!(next.since(now.boot) > Duration::from_millis(100), "a record that has long been over keeps nobody busy");
    }
    cluster.write(vec![Op::Delete(cluster.keys.leader())]).await;
    b.look(&cluster).await;
    assert!(b.keeper.confirm_vacant().await.unwrap(), "vacant when its key is gone");
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
}

pub async fn a_leader_key_of_the_same_name_by_another_hand_is_foreign(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    // Node a goes back to Patroni: same name, no record.
    cluster.write(vec![Op::put(cluster.keys.leader(), "a")]).await;
    assert!(matches!(b.look(&cluster).await, Lease::Theirs(theirs) if theirs.holder.0 == "a"));
    cluster.pass(seconds(200));
    assert!(!b.keeper.confirm_vacant().await.unwrap(), "our old record says nothing about a Patroni's key");
}

pub async fn a_record_that_does_not_read_is_not_vacant(cluster: Cluster) {
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

pub async fn a_vanished_record_is_timed_like_any_other(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    b.look(&cluster).await;
    cluster.write(vec![Op::Delete(cluster.keys.lease()), Op::Delete(cluster.keys.leader())]).await;
    assert_eq!(b.look(&cluster).await, Lease::Unknown, "the holder may not have noticed");
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.unwrap());
}

pub async fn a_leader_key_taken_meanwhile_is_respected_and_one_that_ended_is_not_missed(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    b.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.unwrap());
    // A Patroni takes it between b's look and b's transaction.
    cluster.write(vec![Op::put(cluster.keys.leader(), "patroni")]).await;
    assert_eq!(b.acquire(&cluster).await, AcquireOutcome::Lost);
    assert_eq!(cluster.value(cluster.keys.leader()).await.as_deref(), Some("patroni"));
    assert!(matches!(b.lease(), Lease::Theirs(theirs) if theirs.holder.0 == "patroni"));

    cluster.write(vec![Op::Delete(cluster.keys.leader())]).await;
    b.look(&cluster).await;
    assert!(b.keeper.confirm_vacant().await.unwrap());
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
    a.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap());
    // The dead holder's key ends by the store's expiry at that moment.
    cluster.write(vec![Op::Delete(cluster.keys.leader())]).await;
    assert!(matches!(a.acquire(&cluster).await, AcquireOutcome::Won(_)), "its end is no reason to lose the race");
}
