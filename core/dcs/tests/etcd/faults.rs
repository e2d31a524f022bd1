//! Members of the store that are killed, hang, and come back, with a node that leads meanwhile.

use crate::{
    holder::{Holder, Node},
    support::{Etcd, PATIENCE, until},
};
use std::time::{Duration, Instant};
use tanist_dcs::{Clock, Mirror, Op, Store, StoreError, Txn};

const TTL: Duration = Duration::from_secs(5);

/// How often each fault is repeated; `make test-etcd-long` asks for more.
fn rounds(few: usize) -> usize {
    std::env::var("TANIST_ETCD_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(few)
}

fn put(key: &str, value: &str) -> Txn {
    Txn { then: vec![Op::put(key, value)], ..Txn::default() }
}

/// All members follow one leader again.
async fn whole(etcd: &Etcd) {
    until("every member carries a write out", async || {
        for member in &etcd.members {
            let alone = crate::support::open(vec![member.client_url.clone()]).unwrap();
            alone.txn(put("/probe", "1"), Duration::from_secs(1)).await.ok()?;
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_the_store_that_is_killed_or_hangs_costs_no_lease() {
    let mut etcd = Etcd::start(3).await;
    let holder = Holder::start(etcd.connect().await, TTL).await;
    let (mut killed, mut paused) = (Vec::new(), Vec::new());
    for _ in 0..rounds(5) {
        let leader = etcd.leader();
        etcd.kill(leader);
        assert_ne!(etcd.leader_but(leader), leader);
        etcd.go(leader);
        whole(&etcd).await;
        holder.renews().await;
        killed.push(holder.least());
    }
    for _ in 0..rounds(5) {
        let leader = etcd.leader();
        etcd.signal(leader, "-STOP");
        // Longer than ttl: the length of the fault, not of a wait for its effect.
        tokio::time::sleep(TTL + Duration::from_millis(500)).await;
        assert_ne!(etcd.leader_but(leader), leader);
        etcd.signal(leader, "-CONT");
        whole(&etcd).await;
        holder.renews().await;
        paused.push(holder.least());
    }
    for (fault, mut least) in [("killed", killed), ("paused", paused)] {
        least.sort_unstable();
        println!("{fault}: n {}, least left of 5 s: min {:?}, median {:?}", least.len(), least[0], least[least.len() / 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_at_a_member_that_hangs_moves_on_within_three_seconds() {
    let etcd = Etcd::start(3).await;
    let mirror = Mirror::spawn(etcd.connect().await, "/c/".into(), Clock::system(), Duration::from_secs(1));
    until("the mirror watches", async || mirror.snapshot().watching.then_some(())).await;
    let mut slowest = Duration::ZERO;
    // Whichever member it watches: each hangs once.
    for number in 0..3 {
        etcd.signal(number, "-STOP");
        let others: Vec<_> =
            (0..3).filter(|other| *other != number).map(|other| etcd.members[other].client_url.clone()).collect();
        let store = crate::support::open(others).unwrap();
        let value = format!("{number}");
        let write = put("/c/k", &value);
        until("the others have a leader", async || store.txn(write.clone(), Duration::from_secs(1)).await.ok()).await;
        let begun = Instant::now();
        until("the mirror shows it", async || {
            mirror.snapshot().get("/c/k").filter(|seen| seen.kv.value == value.as_bytes()).map(drop)
        })
        .await;
        slowest = slowest.max(begun.elapsed());
        etcd.signal(number, "-CONT");
        whole(&etcd).await;
    }
    println!("a write is seen {slowest:?} after it at the latest");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_watch_is_not_given_up() {
    use futures_util::StreamExt;
    let etcd = Etcd::start(1).await;
    let store = etcd.connect().await;
    let revision = store.txn(put("/c/k", "1"), PATIENCE).await.unwrap().revision;
    let mut watch = store.watch("/c/", revision, PATIENCE).await.unwrap();
    let begun = Instant::now();
    let mut signs = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        match tokio::time::timeout(Duration::from_secs(6), watch.next()).await.expect("a sign of life").unwrap() {
            tanist_dcs::WatchEvent::Progress(at) => {
                assert!(at <= revision, "{at} is more than was delivered");
                signs += 1;
            }
            tanist_dcs::WatchEvent::Changes { revision: at, .. } => assert_eq!(at, revision),
            end => panic!("{end:?}"),
        }
    }
    assert!((2..=6).contains(&signs), "{signs} signs of life in 6 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_and_comes_back_is_neither_vacant_nor_forgotten() {
    let mut etcd = Etcd::start(3).await;
    let holder = Holder::start(etcd.connect().await, TTL).await;
    let other = Node::new(etcd.connect().await, "b", TTL);
    assert_eq!(other.try_to_lead().await, None);
    for number in 0..3 {
        etcd.kill(number);
    }
    let failure = until("a renewal fails", async || holder.failure()).await;
    assert!(matches!(failure, StoreError::Unavailable(_) | StoreError::Unknown(_)), "{failure:?}");
    let trouble = until("the mirror says so", async || other.mirror.snapshot().trouble.clone()).await.to_string();
    assert!(trouble.contains("127.0.77.1:"), "{trouble}");
    // Past the end of the lease: still nobody takes it from a store that does not answer.
    let begun = Instant::now();
    while begun.elapsed() < TTL + Duration::from_secs(1) {
        assert_eq!(other.try_to_lead().await, None);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for number in 0..3 {
        etcd.go(number);
    }
    until("one of the two leads again", async || {
        (holder.failure().is_none() || other.try_to_lead().await.is_some()).then_some(())
    })
    .await;
    until("the mirror follows again", async || other.mirror.snapshot().watching.then_some(())).await;
}

/// From the loss of the node that leads, together with the member that leads the store, to the next lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_lost_together_with_the_leader_of_the_store_is_followed_in_time() {
    let mut times = Vec::new();
    for round in 0..rounds(2) {
        let mut etcd = Etcd::start(3).await;
        let holder = Holder::start(etcd.connect().await, TTL).await;
        // The other nodes of a cluster of three, as their agents would look.
        let other = Node::new(etcd.connect().await, "b", TTL);
        until("the other node sees the lease", async || {
            other.try_to_lead().await;
            other.mirror.snapshot().get("/service/main/tanist/lease").map(drop)
        })
        .await;
        // Anywhere between two renewals.
        tokio::time::sleep(Duration::from_millis(1_200 + 230 * u64::try_from(round).unwrap())).await;
        let leader = etcd.leader();
        // Dead, or behind a link on which nothing comes back.
        let begun = Instant::now();
        match round % 2 {
            0 => etcd.kill(leader),
            _ => etcd.signal(leader, "-STOP"),
        }
        let before = holder.epoch;
        holder.vanish();
        let next = until("the next lease", async || other.try_to_lead().await).await;
        times.push(begun.elapsed());
        assert!(next > before);
    }
    times.sort_unstable();
    println!("take-over: n {}, median {:?}, max {:?}", times.len(), times[times.len() / 2], times[times.len() - 1]);
    assert!(times[times.len() - 1] < TTL + Duration::from_millis(300), "{times:?}");
}
