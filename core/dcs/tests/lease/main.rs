//! The lease on real stores: each scenario on the embedded store and on etcd, and two with faults of the store itself.

mod cluster;
mod failsafe;
mod giving_up;
mod keeping;
mod others;
mod restored;
#[path = "../support/mod.rs"]
mod support;
mod taking;

use crate::cluster::{Cluster, seconds};
use crate::support::{Etcd, Local, until};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tanist_dcs::lease::{AcquireOutcome, Keeper, RenewOutcome, SyncNow};
use tanist_dcs::{Clock, Keys, Mirror};
use tanist_engine::{Lease, Revision};

type Scenario = fn(Cluster) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! scenarios {
    ($($group:ident :: $name:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let local = super::Local::start(false);
                    super::$group::$name(super::Cluster::new(local.connect(), stringify!($name))).await;
                }
            )*
        }

        const ALL: &[(&str, Scenario)] = &[$((stringify!($name), |cluster| Box::pin($group::$name(cluster)))),*];
    };
}

scenarios![
    taking::a_fresh_node_waits_a_full_ttl_and_asks_once_more,
    taking::of_two_that_race_one_wins,
    taking::of_a_late_renewal_and_a_take_over_one_wins,
    taking::a_lost_answer_to_an_acquisition_is_read_back,
    taking::an_acquisition_that_landed_unseen_is_found_by_the_next,
    taking::a_pending_write_of_sync_stops_an_acquisition_and_the_other_way_round,
    taking::an_initialize_that_was_not_seen_stops_an_acquisition,
    taking::the_base_raises_the_epoch,
    taking::an_acquisition_read_back_after_its_end_is_not_ours,
    keeping::a_lost_answer_to_a_renewal_extends_nothing,
    keeping::a_lost_request_to_renew_extends_nothing_and_the_lease_goes_on,
    keeping::a_holder_frozen_past_its_ttl_cannot_harm,
    keeping::a_restarted_agent_takes_its_lease_up_again,
    keeping::an_absent_leader_key_is_put_back_and_is_not_vacant,
    keeping::an_expiry_that_ended_is_made_anew_for_the_leader_key,
    keeping::a_shorter_ttl_lets_nobody_in_before_the_holder_is_out,
    keeping::a_changed_ttl_changes_the_expiry_under_the_member_key,
    keeping::leader_writes_go_beside_renewals_and_compare,
    keeping::a_lowered_ttl_is_waited_for_as_it_was_promised,
    keeping::a_lowered_ttl_comes_true_by_renewals,
    keeping::a_raised_ttl_counts_from_the_renewal_that_carries_it,
    keeping::beside_a_patroni_the_lease_is_no_longer_than_the_expiry,
    others::a_second_node_of_the_same_name_is_a_twin,
    others::of_two_nodes_of_one_name_one_gets_the_member_key,
    others::a_foreign_leader_key_is_theirs_however_old_the_record,
    others::a_leader_key_of_the_same_name_by_another_hand_is_foreign,
    others::a_record_that_does_not_read_is_not_vacant,
    others::a_vanished_record_is_timed_like_any_other,
    others::a_leader_key_taken_meanwhile_is_respected_and_one_that_ended_is_not_missed,
    giving_up::a_release_is_vacant_at_once,
    giving_up::a_hand_over_carries_the_epoch_that_is_given_up,
    giving_up::a_release_with_a_lost_answer_is_asked_again,
    giving_up::an_old_snapshot_does_not_bring_a_released_lease_back,
    failsafe::whoever_agreed_takes_nothing_before_its_word_ends,
    failsafe::a_round_that_is_refused_or_late_extends_nothing,
    failsafe::only_whom_the_record_names_takes_over,
    failsafe::whoever_may_have_taken_the_lease_refuses,
    failsafe::what_was_released_binds_nobody,
    failsafe::a_restarted_holder_goes_on_with_what_was_kept,
    failsafe::every_record_that_may_be_there_counts,
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
    let sync = SyncNow { revision: Revision(0), value: b"{}".to_vec(), state: None, initialize: Revision(0) };
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
    // The record is the lease. The leader key hangs on etcd's own expiry, which two elections on a busy machine may outlast; put back by
    // a renewal it has a higher epoch, and never a lower one.
    println!("epoch {} before, {} after", held.epoch, now.epoch);
    assert!(now.epoch >= held.epoch);
}
