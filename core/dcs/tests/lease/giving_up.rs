//! Giving the lease up.

use crate::cluster::Cluster;
use tanist_dcs::Op;
use tanist_dcs::faulty::Fault;
use tanist_dcs::lease::{AcquireOutcome, ReleaseOutcome, RenewOutcome};
use tanist_engine::Lease;

pub async fn a_release_is_vacant_at_once(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    cluster.write(vec![Op::put(cluster.keys.failover(), "{}")]).await;
    assert_eq!(a.keeper.release(Some(&|_| b"to b".to_vec()), true).await, ReleaseOutcome::Released);
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

pub async fn a_hand_over_carries_the_epoch_that_is_given_up(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = a.lead(&cluster).await;
    cluster.write(vec![Op::Delete(cluster.keys.leader())]).await;
    a.look(&cluster).await;
    a.faulty.set(Fault::LoseAnswer);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)), "it put the key back, unseen");
    a.faulty.set(Fault::None);
    let handoff = |epoch| format!("to b, who follows {epoch}").into_bytes();
    assert_eq!(a.keeper.release(Some(&handoff), false).await, ReleaseOutcome::Released);
    let Lease::Vacant { last_epoch, .. } = b.look(&cluster).await else { panic!("{:?}", b.lease()) };
    assert!(last_epoch > held.epoch);
    assert_eq!(cluster.value(cluster.keys.handoff()).await, Some(format!("to b, who follows {last_epoch}")));
}

pub async fn a_release_with_a_lost_answer_is_asked_again(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.lead(&cluster).await;
    a.faulty.set(Fault::LoseAnswer);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)), "it landed, unseen");
    assert!(matches!(a.keeper.release(None, false).await, ReleaseOutcome::Failed(_)));
    a.faulty.set(Fault::None);
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    assert!(cluster.record().await.released);
}

pub async fn an_old_snapshot_does_not_bring_a_released_lease_back(cluster: Cluster) {
    let a = cluster.node("a", 1);
    a.lead(&cluster).await;
    a.look(&cluster).await;
    let before = a.mirror.snapshot();
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    a.keeper.observe(&before, cluster.now());
    assert!(matches!(a.lease(), Lease::Vacant { released: true, .. }), "{:?}", a.lease());
}
