//! The lease in a store that is put back from a backup: whoever led since the backup may not know, and count with his lease.

use crate::cluster::{Cluster, Node, seconds};
use crate::failsafe::{named, stays_out};
use crate::support::{Local, PATIENCE, until};
use std::path::PathBuf;
use tanist_dcs::Op;
use tanist_dcs::lease::{AcquireOutcome, Record, ReleaseOutcome, RenewOutcome};
use tanist_engine::Lease;

/// A copy of the embedded store's file.
struct Backup {
    file: PathBuf,
    copy: PathBuf,
}

impl Backup {
    fn of(local: &Local) -> Self {
        let file = local.file.clone().unwrap();
        let copy = file.with_extension("backup");
        std::fs::copy(&file, &copy).unwrap();
        Self { file, copy }
    }

    async fn put_back(self, local: &mut Local) {
        local.stop().await;
        std::fs::rename(&self.copy, &self.file).unwrap();
        local.go();
    }
}

/// A store that keeps a file, and a cluster in it.
fn start() -> (Local, Cluster) {
    let local = Local::start(true);
    let cluster = Cluster::new(local.connect(), "main");
    (local, cluster)
}

/// The mirrors of these have seen that the store went back.
async fn notice(nodes: &[&Node]) {
    until("the mirrors notice", async || nodes.iter().all(|node| node.mirror.snapshot().history == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_does_not_outlive_the_history_of_its_store() {
    let (mut local, cluster) = start();
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    a.look(&cluster).await;
    b.look(&cluster).await;
    let backup = Backup::of(&local);
    for _ in 0..3 {
        cluster.pass(seconds(1));
        a.renewed().await;
    }
    until("the mirrors show it", async || {
        let newest = cluster.store.list("/", PATIENCE).await.unwrap().revision;
        [&a, &b].iter().all(|node| node.mirror.snapshot().revision == newest).then_some(())
    })
    .await;
    backup.put_back(&mut local).await;
    notice(&[&a, &b]).await;
    for node in [&a, &b] {
        let lease = node.look(&cluster).await;
        assert!(matches!(lease, Lease::Theirs(_)), "{}: {lease:?}", node.name);
        assert_eq!(node.keeper.until(), None);
    }
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    cluster.pass(seconds(60));
    assert!(!b.keeper.confirm_vacant().await.unwrap(), "everybody waits a full ttl again");
    cluster.pass(seconds(1));
    assert!(b.keeper.confirm_vacant().await.unwrap());
}

/// The backup was made between two leaders. The second one may write on until it notices, so its lease is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_record_out_of_a_backup_is_not_vacant_at_once() {
    let (mut local, cluster) = start();
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(&cluster).await;
    assert_eq!(a.keeper.release(None, false).await, ReleaseOutcome::Released);
    let backup = Backup::of(&local);
    assert!(matches!(b.look(&cluster).await, Lease::Vacant { released: true, .. }));
    b.lead(&cluster).await;
    b.renewed().await;
    a.look(&cluster).await;
    backup.put_back(&mut local).await;
    notice(&[&a]).await;
    assert!(matches!(a.look(&cluster).await, Lease::Theirs(_)), "{:?}", a.lease());
    cluster.pass(seconds(60));
    assert!(!a.keeper.confirm_vacant().await.unwrap());
    cluster.pass(seconds(1));
    assert!(a.keeper.confirm_vacant().await.unwrap());
}

/// An old holder that was cut off releases in the store as it was restored, before it has seen that it was. Who has taken the lease since
/// the backup may write on until he notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_lands_in_a_backup_is_not_vacant_at_once() {
    let (mut local, cluster) = start();
    let a = cluster.node("a", 1);
    a.lead(&cluster).await;
    let backup = Backup::of(&local);
    for value in ["1", "2"] {
        cluster.write(vec![Op::put(cluster.keys.status(), value)]).await;
    }
    a.look(&cluster).await;
    backup.put_back(&mut local).await;
    let released = until("it lands", async || match a.keeper.release(None, false).await {
        ReleaseOutcome::Failed(_) => None,
        other => Some(other),
    });
    assert_eq!(released.await, ReleaseOutcome::Released);
    assert!(!matches!(a.lease(), Lease::Vacant { .. }), "{:?}", a.lease());
    notice(&[&a]).await;
    assert!(matches!(a.look(&cluster).await, Lease::Theirs(_)), "{:?}", a.lease());
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap());
}

/// A leader that raised `ttl` since the backup, and another node that knows of the longer one.
async fn raised(local: &mut Local, cluster: &Cluster) -> (Node, Node) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    a.lead(cluster).await;
    let backup = Backup::of(local);
    a.keeper.set_ttl(seconds(120));
    a.renewed().await;
    b.look(cluster).await;
    cluster.pass(seconds(50));
    a.renewed().await;
    // This renewal b has not looked at.
    backup.put_back(local).await;
    notice(&[&b]).await;
    assert_eq!(cluster.record().await.ttl, seconds(60), "the backup's");
    b.look(cluster).await;
    (a, b)
}

/// The backup is from before `ttl` was raised. Who leads since then counts on the longer one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ttl_that_was_known_before_is_waited_for() {
    let (mut local, cluster) = start();
    let (a, b) = raised(&mut local, &cluster).await;
    cluster.pass(seconds(120));
    assert!(!b.keeper.confirm_vacant().await.unwrap());
    cluster.pass(seconds(2));
    assert!(b.keeper.confirm_vacant().await.unwrap());
    // Whoever leads from here on has the ttl that its record says.
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
    a.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(a.keeper.confirm_vacant().await.unwrap());
}

/// A release of the forgotten history, which lands late, says nothing of who leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_out_of_the_past_ends_no_longer_lease() {
    let (mut local, cluster) = start();
    let (_a, b) = raised(&mut local, &cluster).await;
    let late = Record { released: true, ..cluster.record().await };
    cluster.write(vec![Op::put(cluster.keys.lease(), late.encode()), Op::Delete(cluster.keys.leader())]).await;
    b.look(&cluster).await;
    cluster.pass(seconds(120));
    assert!(!matches!(b.lease(), Lease::Vacant { .. }), "{:?}", b.lease());
    cluster.pass(seconds(2));
    assert!(matches!(b.lease(), Lease::Vacant { .. }), "{:?}", b.lease());
}

/// Failsafe mode: the record named others, and the backup names nobody. Its holder may go on with those it named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_last_record_left_out_waits_until_one_is_written() {
    let (mut local, cluster) = start();
    let (a, b, d) = (cluster.node("a", 1), cluster.node("b", 2), cluster.node("d", 4));
    a.lead(&cluster).await;
    let backup = Backup::of(&local);
    a.keeper.name(Some(named(&["a", "b"])));
    a.renewed().await;
    for node in [&b, &d] {
        node.look(&cluster).await;
    }
    backup.put_back(&mut local).await;
    for node in [&b, &d] {
        notice(&[node]).await;
        node.look(&cluster).await;
    }
    stays_out(&cluster, &d, &b).await;
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
    d.look(&cluster).await;
    assert!(!d.keeper.failsafe(cluster.now()).barred, "a record that names nobody was written");
}
