//! The barrier under a promise: what the old primary commits afterwards is never acknowledged through this standby.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, until},
};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};
use tanist_engine::{Lsn, ServerRole, SyncNames, Timeline};
use tanist_postgres::{
    ServerConfig, configure,
    cut::{self, Cut, CutError},
    sql,
};

/// How long a commit is watched that must not be acknowledged: several times what an acknowledgement takes.
const WATCHED: Duration = Duration::from_millis(400);
/// The limit of one barrier.
const BARRIER: Duration = Duration::from_secs(10);

/// A primary that waits for its only standby.
async fn pair(host: u8, parameters: &[(&str, &str)]) -> (Node, Node) {
    let a = Node::primary("a", host, &[]).await;
    a.client().await.batch_execute("CREATE TABLE t (n int); CREATE TABLE held AS SELECT 1 AS n").await.unwrap();
    let mut b = Node::standby_of("b", host + 1, &a, parameters).await;
    streaming(&mut b).await;
    sql::set_sync_names(&a.settings, &a.prober.in_force(), &SyncNames::one("b".into()), LIMIT).await.unwrap();
    (a, b)
}

async fn streaming(b: &mut Node) {
    b.running("streaming", |running| matches!(running.role, ServerRole::Standby { streaming: true, .. })).await;
}

async fn follow_again(a: &Node, b: &mut Node) {
    sql::follow(&b.settings, Some(&a.upstream(1)), &SyncNames::Reserved, LIMIT).await.unwrap();
    streaming(b).await;
}

/// Cuts, and shows in the log what it took.
async fn cut_off(case: &str, b: &Node) -> Cut {
    let done = cut::cut(&b.settings, b.pid().as_raw_nonzero().get(), &SyncNames::Reserved, BARRIER).await.unwrap();
    println!("{case}: {done:?}");
    done
}

/// The end of the standby's WAL, which is what the promise would say.
async fn promised(b: &mut Node) -> (Timeline, Lsn) {
    let seen = b
        .running("a known position", |running| {
            matches!(running.role, ServerRole::Standby { position: Some(_), streaming: false, upstream: None, .. })
        })
        .await;
    let ServerRole::Standby { position: Some(position), .. } = seen.role else { panic!("no position") };
    (position.timeline, position.lsn)
}

/// A commit at the primary, now. What it returns ends when it is acknowledged.
async fn commit(a: &Node) -> tokio::task::JoinHandle<()> {
    let client = a.client().await;
    tokio::spawn(async move { client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap() })
}

/// Nothing is acknowledged any more, and the standby's WAL does not grow.
async fn nothing_passes(a: &Node, b: &mut Node) {
    let before = promised(b).await;
    let new = commit(a).await;
    tokio::time::sleep(WATCHED).await;
    assert!(!new.is_finished(), "acknowledged through a standby that has promised");
    assert_eq!(promised(b).await, before, "the promised position is not the end");
    // For the next round of a test: nobody waits any more once it follows again.
    new.abort();
}

async fn set(node: &Node, sql: &str) {
    node.client().await.batch_execute(sql).await.unwrap();
}

async fn pid_of(node: &Node, kind: &str) -> Option<Pid> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1";
    let row = node.client().await.query_opt(sql, &[&kind]).await.unwrap();
    row.and_then(|row| Pid::from_raw(row.get(0)))
}

async fn waits_in(node: &Node, wait: &str) {
    let client = node.client().await;
    let sql = "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE backend_type = 'startup'";
    until(wait, || async { (client.query_one(sql, &[]).await.unwrap().get::<_, String>(0) == wait).then_some(()) }).await;
}

#[test]
fn while_it_replays_and_again() {
    as_postgres("promise::while_it_replays_and_again", || async {
        let (a, mut b) = pair(41, &[]).await;
        for _ in 0..3 {
            let done = tokio::time::timeout(LIMIT, commit(&a).await).await;
            done.expect("the standby acknowledges").unwrap();
            let cut = cut_off("idle", &b).await;
            assert_eq!(cut.readers_ended, 0);
            nothing_passes(&a, &mut b).await;
            cut_off("already cut", &b).await;
            nothing_passes(&a, &mut b).await;
            follow_again(&a, &mut b).await;
        }
        // Under load, where replay is at work when it is asked to read.
        let load = a.client().await;
        let load = tokio::spawn(async move {
            let _cut_off =
                load.batch_execute("SET synchronous_commit = local; INSERT INTO t SELECT generate_series(1, 2000000)").await;
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        cut_off("at work", &b).await;
        nothing_passes(&a, &mut b).await;
        load.abort();
        let refused = cut::cut(&a.settings, a.pid().as_raw_nonzero().get(), &SyncNames::Reserved, BARRIER).await;
        assert!(matches!(refused, Err(CutError::NotStandby)), "{refused:?}");
    });
}

#[test]
fn while_replay_is_paused() {
    as_postgres("promise::while_replay_is_paused", || async {
        let (a, mut b) = pair(43, &[]).await;
        set(&b, "SELECT pg_wal_replay_pause()").await;
        waits_in(&b, "RecoveryPause").await;
        tokio::time::timeout(LIMIT, commit(&a).await).await.expect("acknowledged while paused").unwrap();
        cut_off("paused", &b).await;
        nothing_passes(&a, &mut b).await;
        let paused: bool = b.client().await.query_one("SELECT pg_is_wal_replay_paused()", &[]).await.unwrap().get(0);
        assert!(!paused, "resumed");
    });
}

#[test]
fn while_readers_hold_replay_up() {
    as_postgres("promise::while_readers_hold_replay_up", || async {
        let (a, mut b) = pair(45, &[("max_standby_streaming_delay", "-1")]).await;
        let idle = b.client().await;
        let reader = b.client().await;
        reader.batch_execute("BEGIN; SELECT * FROM held").await.unwrap();
        set(&a, "SET synchronous_commit = local; ALTER TABLE held ADD m int").await;
        waits_in(&b, "relation").await;
        tokio::time::timeout(LIMIT, commit(&a).await).await.expect("acknowledged while held up").unwrap();
        let cut = cut_off("held up by a lock", &b).await;
        assert_eq!(cut.readers_ended, 1);
        assert!(reader.batch_execute("SELECT 1").await.is_err(), "the reader was ended");
        idle.batch_execute("SELECT 1").await.expect("who held nothing stays");
        nothing_passes(&a, &mut b).await;
        assert_eq!(cut::free_replay(&b.settings, LIMIT).await.unwrap(), 0, "nobody holds anything up");
    });
}

#[test]
fn after_a_restart_in_front_of_what_it_acknowledged() {
    as_postgres("promise::after_a_restart_in_front_of_what_it_acknowledged", || async {
        let (a, mut b) = pair(47, &[("max_standby_streaming_delay", "-1"), ("max_standby_archive_delay", "-1")]).await;
        // Acknowledged and not replayed: a reader holds replay up, and the server is killed in front of it.
        let reader = b.client().await;
        reader.batch_execute("BEGIN; SELECT * FROM held").await.unwrap();
        set(&a, "SET synchronous_commit = local; ALTER TABLE held ADD m int").await;
        waits_in(&b, "relation").await;
        tokio::time::timeout(LIMIT, commit(&a).await).await.expect("acknowledged while held up").unwrap();
        let acknowledged: String =
            a.client().await.query_one("SELECT flush_lsn::text FROM pg_stat_replication", &[]).await.unwrap().get(0);
        b.stop(Signal::QUIT);
        b.start(ServerConfig::Standby { upstream: Some(&a.upstream(1)) }, &SyncNames::Reserved).await;
        b.running("an answer", |_| true).await;
        cut_off("just restarted", &b).await;
        nothing_passes(&a, &mut b).await;
        assert!(promised(&mut b).await.1 >= acknowledged.parse().unwrap(), "promised less than it had acknowledged");
    });
}

#[test]
fn a_frozen_primary_gets_nothing_when_it_goes_on() {
    as_postgres("promise::a_frozen_primary_gets_nothing_when_it_goes_on", || async {
        let (a, mut b) = pair(49, &[]).await;
        let walsender = pid_of(&a, "walsender").await.expect("a walsender");
        for pid in [a.pid(), walsender] {
            kill_process(pid, Signal::STOP).unwrap();
        }
        cut_off("primary frozen", &b).await;
        let before = promised(&mut b).await;
        for pid in [walsender, a.pid()] {
            kill_process(pid, Signal::CONT).unwrap();
        }
        nothing_passes(&a, &mut b).await;
        assert_eq!(promised(&mut b).await, before);
    });
}

#[test]
fn while_walreceivers_come_and_go() {
    as_postgres("promise::while_walreceivers_come_and_go", || async {
        let (a, mut b) = pair(51, &[("wal_retrieve_retry_interval", "1ms")]).await;
        for round in 0..5 {
            // Each end of a walsender makes the standby ask for another walreceiver.
            let killer = a.client().await;
            let killing = tokio::spawn(async move {
                loop {
                    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication";
                    if killer.batch_execute(sql).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            });
            tokio::time::sleep(Duration::from_millis(50 + round * 7)).await;
            cut_off("walreceivers come and go", &b).await;
            killing.abort();
            nothing_passes(&a, &mut b).await;
            assert_eq!(pid_of(&b, "walreceiver").await, None);
            follow_again(&a, &mut b).await;
        }
    });
}

#[test]
fn what_cannot_be_proved_is_not_claimed() {
    as_postgres("promise::what_cannot_be_proved_is_not_claimed", || async {
        let (a, mut b) = pair(53, &[]).await;
        let startup = pid_of(&b, "startup").await.expect("a startup process");
        let short = Duration::from_millis(700);
        kill_process(startup, Signal::STOP).unwrap();
        let begun = Instant::now();
        let late = cut::cut(&b.settings, b.pid().as_raw_nonzero().get(), &SyncNames::Reserved, short).await;
        assert!(matches!(late, Err(CutError::Startup(..))), "{late:?}");
        assert!(begun.elapsed() < short * 5, "the limit holds");
        kill_process(startup, Signal::CONT).unwrap();
        streaming_or_cut(&mut b).await;

        follow_again(&a, &mut b).await;
        let receiver = pid_of(&b, "walreceiver").await.expect("a walreceiver");
        kill_process(receiver, Signal::STOP).unwrap();
        let late = cut::cut(&b.settings, b.pid().as_raw_nonzero().get(), &SyncNames::Reserved, short).await;
        assert!(late.is_err(), "{late:?}");
        kill_process(receiver, Signal::CONT).unwrap();

        // The way out: ended at once, and started with nobody to follow.
        b.stop(Signal::QUIT);
        configure::write_for(&b.settings, ServerConfig::Standby { upstream: None }, &SyncNames::Reserved).unwrap();
        b.start(ServerConfig::Standby { upstream: None }, &SyncNames::Reserved).await;
        nothing_passes(&a, &mut b).await;
    });
}

async fn streaming_or_cut(b: &mut Node) {
    b.running("an answer", |running| matches!(running.role, ServerRole::Standby { .. })).await;
}
