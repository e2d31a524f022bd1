//! A full store: the alarm NOSPACE.

use crate::{
    holder::Holder,
    support::{Etcd, PATIENCE, Setup, until},
};
use std::time::Duration;
use tanist_dcs::{ExpiryId, Op, StoreError, Txn};
use tanist_engine::Lease;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_is_named_and_the_lease_goes_on_when_there_is_space() {
    let quota = vec!["--quota-backend-bytes".into(), (4 << 20).to_string()];
    let etcd = Etcd::with(1, Setup { arguments: quota, ..Setup::default() });
    let store = etcd.connect().await;
    until("etcd answers", async || store.list("/", PATIENCE).await.ok()).await;
    let holder = Holder::start(etcd.connect().await, Duration::from_secs(5)).await;
    let fill = || Txn { then: vec![Op::put("/filler", vec![b'x'; 256 << 10])], ..Txn::default() };
    let refused = until("the store is full", async || store.txn(fill(), PATIENCE).await.err()).await;
    assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
    let failure = until("a renewal is refused", async || holder.failure()).await;
    assert!(matches!(failure, StoreError::Refused(_)), "{failure:?}");
    for error in [&refused, &failure] {
        assert!(error.to_string().contains("etcd is out of space (alarm NOSPACE)"), "{error}");
    }
    let told = holder.node.keeper.troubles().borrow().clone().expect("a trouble that is shown");
    assert!(told.to_string().contains("NOSPACE"), "{told}");
    // What etcd still does: reads, watches, and the expiry under the leader key.
    let listing = store.list("/service/main/", PATIENCE).await.unwrap();
    let leader = listing.items.iter().find(|kv| kv.key == "/service/main/leader").unwrap();
    let expiry: ExpiryId = leader.expiry.unwrap();
    store.keep_alive(expiry, PATIENCE).await.unwrap();
    drop(store.watch("/service/main/", listing.revision, PATIENCE).await.unwrap());
    // Nobody can take the lease either, so it is nobody's when it ends: never two leaders.
    let other = crate::holder::Node::new(etcd.connect().await, "b", Duration::from_secs(5));
    until("the record is over for the other node", async || {
        assert_eq!(other.try_to_lead().await, None);
        let now = tanist_dcs::Clock::system().now();
        matches!(other.keeper.lease(now), Lease::Vacant { .. }).then_some(())
    })
    .await;
    assert_eq!(other.try_to_lead().await, None);

    let revision = store.list("/", PATIENCE).await.unwrap().revision.to_string();
    etcd.ctl(&["compaction", &revision]);
    etcd.ctl(&["defrag"]);
    etcd.ctl(&["alarm", "disarm"]);
    until("one of them leads again", async || {
        let renewed = holder.failure().is_none();
        (renewed || other.try_to_lead().await.is_some()).then_some(())
    })
    .await;
}
