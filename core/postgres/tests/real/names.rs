//! Whom commits wait for, and when that is so everywhere.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, until},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{sync::Arc, time::Duration};
use tanist_engine::{ServerRole, SyncNames};
use tanist_postgres::{
    Prober, ServerConfig, configure,
    sql::{self, SqlError},
};

const SOON: Duration = Duration::from_millis(700);

fn of(name: &str) -> SyncNames {
    SyncNames::one(name.into())
}

async fn in_force(node: &mut Node) -> Option<SyncNames> {
    let running = node.running("an answer", |_| true).await;
    match running.role {
        ServerRole::Primary { names_in_force, .. } => names_in_force,
        ServerRole::Standby { .. } => None,
    }
}

async fn process(node: &Node, kind: &str) -> Pid {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1";
    Pid::from_raw(node.client().await.query_one(sql, &[&kind]).await.unwrap().get(0)).unwrap()
}

#[test]
fn reserved_blocks_and_loosening_releases() {
    as_postgres("names::reserved_blocks_and_loosening_releases", || async {
        let mut node = Node::primary("a", 21, &[]).await;
        let names = node.prober.in_force();
        sql::set_sync_names(&node.settings, &names, &SyncNames::Reserved, LIMIT).await.unwrap();
        assert_eq!(in_force(&mut node).await, Some(SyncNames::Reserved));

        let client = node.client().await;
        let commit = tokio::spawn(async move { client.batch_execute("CREATE TABLE t (n int)").await });
        let watcher = node.client().await;
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        until("a waiting commit", || async {
            (watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        assert!(!commit.is_finished());
        sql::set_sync_names(&node.settings, &names, &SyncNames::Nobody, LIMIT).await.unwrap();
        tokio::time::timeout(LIMIT, commit).await.expect("released").unwrap().unwrap();
        assert_eq!(in_force(&mut node).await, Some(SyncNames::Nobody));
    });
}

/// An agent died between writing the names and reloading: those before them are in force, and the next reload would change that. The one
/// that comes after it sees to the reload and counts on neither until it is done.
#[test]
fn names_that_were_only_written_are_not_what_is_in_force() {
    as_postgres("names::names_that_were_only_written_are_not_what_is_in_force", || async {
        let mut node = Node::primary("a", 26, &[]).await;
        let names = node.prober.in_force();
        sql::set_sync_names(&node.settings, &names, &SyncNames::Reserved, LIMIT).await.unwrap();
        configure::write_for(&node.settings, ServerConfig::Primary, &SyncNames::Nobody).unwrap();
        node.prober = Prober::new(Arc::clone(&node.settings), LIMIT);
        assert_eq!(in_force(&mut node).await, None, "what was found is about to change");
        let found = node.running("the names of the file in force", |running| match &running.role {
            ServerRole::Primary { names_in_force, .. } => *names_in_force == Some(SyncNames::Nobody),
            ServerRole::Standby { .. } => false,
        });
        tokio::time::timeout(LIMIT, found).await.expect("in force");
    });
}

#[test]
fn a_deaf_checkpointer_keeps_it_from_being_in_force() {
    as_postgres("names::a_deaf_checkpointer_keeps_it_from_being_in_force", || async {
        let mut node = Node::primary("a", 22, &[]).await;
        let names = node.prober.in_force();
        assert_eq!(in_force(&mut node).await, Some(SyncNames::Nobody));
        let checkpointer = process(&node, "checkpointer").await;
        kill_process(checkpointer, Signal::STOP).unwrap();
        let late = sql::set_sync_names(&node.settings, &names, &SyncNames::Reserved, SOON).await.unwrap_err();
        assert!(matches!(late, SqlError::NotInForce { .. }), "{late}");
        // The sessions show the new value, and a commit is acknowledged all the same: this is why SHOW is not believed.
        let client = node.client().await;
        let shown: String = client.query_one("SELECT current_setting('synchronous_standby_names')", &[]).await.unwrap().get(0);
        assert!(shown.contains("nobody"), "{shown}");
        client.batch_execute("CREATE TABLE t (n int)").await.unwrap();
        assert_eq!(in_force(&mut node).await, None);
        // Nor does an agent that has just come believe it.
        node.prober = Prober::new(Arc::clone(&node.settings), LIMIT);
        assert_eq!(in_force(&mut node).await, None);

        kill_process(checkpointer, Signal::CONT).unwrap();
        let names = node.prober.in_force();
        sql::set_sync_names(&node.settings, &names, &SyncNames::Reserved, LIMIT).await.unwrap();
        assert_eq!(in_force(&mut node).await, Some(SyncNames::Reserved));
    });
}

#[test]
fn a_deaf_walsender_keeps_it_from_being_in_force() {
    as_postgres("names::a_deaf_walsender_keeps_it_from_being_in_force", || async {
        let mut a = Node::primary("a", 23, &[]).await;
        let mut b = Node::standby_of("b", 24, &a, &[]).await;
        b.running("streaming", |running| matches!(running.role, ServerRole::Standby { streaming: true, .. })).await;
        let names = a.prober.in_force();
        sql::set_sync_names(&a.settings, &names, &of("b"), LIMIT).await.unwrap();
        assert_eq!(in_force(&mut a).await, Some(of("b")));
        let running = a
            .running(
                "b counts",
                |running| matches!(&running.role, ServerRole::Primary { standbys, .. } if standbys.iter().any(|one| one.sync)),
            )
            .await;
        assert!(matches!(running.role, ServerRole::Primary { .. }));
        a.client().await.batch_execute("CREATE TABLE t (n int)").await.unwrap();

        let walsender = process(&a, "walsender").await;
        kill_process(walsender, Signal::STOP).unwrap();
        let late = sql::set_sync_names(&a.settings, &names, &SyncNames::Reserved, SOON).await.unwrap_err();
        assert!(matches!(late, SqlError::NotInForce { .. }), "{late}");
        assert_eq!(in_force(&mut a).await, None);
        kill_process(walsender, Signal::CONT).unwrap();
        sql::set_sync_names(&a.settings, &names, &SyncNames::Reserved, LIMIT).await.unwrap();
        assert_eq!(in_force(&mut a).await, Some(SyncNames::Reserved));
    });
}

#[test]
fn a_deaf_walsender_keeps_another_number_from_being_in_force() {
    as_postgres("names::a_deaf_walsender_keeps_another_number_from_being_in_force", || async {
        let mut a = Node::primary("a", 25, &[]).await;
        let mut b = Node::standby_of("b", 26, &a, &[]).await;
        b.running("streaming", |running| matches!(running.role, ServerRole::Standby { streaming: true, .. })).await;
        let any = |count| SyncNames::AnyOf { count, standbys: ["b".into(), "c".into()].into() };
        let names = a.prober.in_force();
        sql::set_sync_names(&a.settings, &names, &any(1), LIMIT).await.unwrap();
        assert_eq!(in_force(&mut a).await, Some(any(1)));
        a.client().await.batch_execute("CREATE TABLE t (n int)").await.expect("one of two is enough");

        // Its priority is the same under both: nothing that it shows tells that it still lets one be enough.
        let walsender = process(&a, "walsender").await;
        kill_process(walsender, Signal::STOP).unwrap();
        let late = sql::set_sync_names(&a.settings, &names, &any(2), SOON).await.unwrap_err();
        assert!(matches!(late, SqlError::NotInForce { .. }), "{late}");
        assert_eq!(in_force(&mut a).await, None);
        kill_process(walsender, Signal::CONT).unwrap();
        sql::set_sync_names(&a.settings, &names, &any(2), LIMIT).await.unwrap();
        assert_eq!(in_force(&mut a).await, Some(any(2)));
        let client = a.client().await;
        let commit = tokio::spawn(async move { client.batch_execute("INSERT INTO t VALUES (1)").await });
        tokio::time::sleep(SOON).await;
        assert!(!commit.is_finished(), "two of two, and one is there");
        sql::set_sync_names(&a.settings, &names, &any(1), LIMIT).await.unwrap();
        tokio::time::timeout(LIMIT, commit).await.expect("one of two again").unwrap().unwrap();
    });
}
