//! A server that is beyond the leader's history: its end is found before anybody counts on it, and what is too much is taken back.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, spawn},
};
use rustix::process::Signal;
use std::{fs, time::Instant};
use tanist_engine::{Lsn, Postgres, Running, ServerRole, SyncNames, Timeline};
use tanist_postgres::{OnDisk, ServerConfig, Work, configure, layout, plan, sql};

const ALONE: ServerConfig<'_> = ServerConfig::Standby { upstream: None };

fn streams(running: &Running) -> bool {
    matches!(running.role, ServerRole::Standby { streaming: true, .. })
}

fn end(running: &Running) -> Option<(Timeline, Lsn)> {
    match &running.role {
        ServerRole::Standby { position, .. } => position.map(|at| (at.timeline, at.lsn)),
        ServerRole::Primary { position, .. } => Some((position.timeline, position.lsn)),
    }
}

/// A primary and its standby, which streams.
async fn pair(host: u8) -> (Node, Node) {
    let a = Node::primary("a", host, &[]).await;
    a.client().await.batch_execute("CREATE TABLE t AS SELECT generate_series(1, 5000) AS n").await.unwrap();
    let mut b = Node::standby_of("b", host + 1, &a, &[]).await;
    b.running("streaming", streams).await;
    (a, b)
}

/// The same pair after a failover to the standby, which was away when the primary wrote its last: where the new timeline begins. The old
/// primary was killed.
async fn parted(host: u8) -> (Node, Node, Lsn) {
    let (mut a, mut b) = pair(host).await;
    b.stop(Signal::INT);
    a.client().await.batch_execute("UPDATE t SET n = -n; CREATE TABLE lost AS SELECT 1 AS n").await.unwrap();
    a.stop(Signal::QUIT);
    b.start(ALONE, &SyncNames::Nobody).await;
    b.running("all it has", |running| end(running).is_some()).await;
    b.promote();
    let promoted = b.running("promoted", |running| matches!(running.role, ServerRole::Primary { .. })).await;
    let ServerRole::Primary { timeline_begin: Some(begin), checkpointed, .. } = promoted.role else { panic!("no timeline") };
    if !checkpointed {
        sql::checkpoint(&b.settings, LIMIT).await.unwrap();
        b.running("its checkpoint", |running| matches!(running.role, ServerRole::Primary { checkpointed: true, .. })).await;
    }
    b.client().await.batch_execute("INSERT INTO t SELECT generate_series(9001, 9100)").await.unwrap();
    (a, b, begin)
}

#[test]
fn a_killed_standby_shows_its_end_and_loses_no_second_by_it() {
    as_postgres("rewind::a_killed_standby_shows_its_end_and_loses_no_second_by_it", || async {
        let (a, mut b) = pair(71).await;
        let (to_a, mut times) = (a.upstream(1), Vec::new());
        for first_alone in [false, true, false, true, false, true] {
            b.stop(Signal::QUIT);
            let OnDisk::Cluster { control, .. } = b.on_disk().await else { panic!("no cluster") };
            assert!(!control.stopped().end_known && !control.stopped().clean);
            a.client().await.batch_execute("UPDATE t SET n = n + 1").await.unwrap();
            let begun = Instant::now();
            if first_alone {
                b.start(ALONE, &SyncNames::Nobody).await;
                let known = b.running("its end", |running| end(running).is_some()).await;
                assert!(!streams(&known));
                sql::follow(&b.settings, Some(&to_a), &SyncNames::Nobody, LIMIT).await.unwrap();
            } else {
                b.start(ServerConfig::Standby { upstream: Some(&to_a) }, &SyncNames::Nobody).await;
            }
            b.running("streaming", streams).await;
            times.push((first_alone, begun.elapsed()));
        }
        println!("  from the start to streaming: {times:?}");
    });
}

#[test]
fn a_killed_primary_shows_its_end_without_a_record_of_its_own() {
    as_postgres("rewind::a_killed_primary_shows_its_end_without_a_record_of_its_own", || async {
        let (mut a, mut b) = pair(73).await;
        let last = end(&a.running("the primary", |_| true).await).unwrap();
        b.running("all of it", |running| end(running) == Some(last)).await;
        a.stop(Signal::QUIT);
        b.promote();
        b.running("promoted", |running| matches!(running.role, ServerRole::Primary { .. })).await;
        // It had nothing that the other has not: it follows, and nothing has to be taken back.
        a.start(ALONE, &SyncNames::Nobody).await;
        assert_eq!(end(&a.running("its end", |running| end(running).is_some()).await), Some(last));
        sql::follow(&a.settings, Some(&b.upstream(2)), &SyncNames::Nobody, LIMIT).await.unwrap();
        a.running("streaming on the new timeline", |running| streams(running) && end(running).unwrap().0 == Timeline(2)).await;
    });
}

#[test]
fn what_is_too_much_is_taken_back() {
    as_postgres("rewind::what_is_too_much_is_taken_back", || async {
        let (mut a, mut b, begin) = parted(75).await;
        let to_b = b.upstream(2);
        a.start(ALONE, &SyncNames::Nobody).await;
        let own = end(&a.running("its end", |running| end(running).is_some()).await).unwrap();
        assert!(own.0 == Timeline(1) && own.1 > begin, "{own:?} is not beyond {begin}");
        a.stop(Signal::INT);
        let Postgres::Stopped(stopped) = a.on_disk().await.postgres() else { panic!("no cluster") };
        assert!(stopped.clean && stopped.rewindable && !stopped.end_known && !stopped.is_incomplete());

        // With the user that has no right but those of pg_rewind.
        configure::write_for(&a.settings, ServerConfig::Standby { upstream: Some(&to_b) }, &SyncNames::Nobody).unwrap();
        let before = fs::read(a.settings.data_dir.join("global/pg_control")).unwrap();
        assert!(run(&a, &plan::rewind(&a.settings, &to_b, 15, true).unwrap()), "it only looks");
        assert_eq!(fs::read(a.settings.data_dir.join("global/pg_control")).unwrap(), before, "nothing has changed");
        assert!(layout::end_rewind(&a.settings).is_err());
        layout::begin_work(&a.settings, Work::Rewind).unwrap();
        assert!(run(&a, &plan::rewind(&a.settings, &to_b, 15, false).unwrap()));
        assert_eq!(a.on_disk().await, OnDisk::HalfMade, "marked until it is known to be whole");
        layout::end_rewind(&a.settings).unwrap();
        let Postgres::Stopped(stopped) = a.on_disk().await.postgres() else { panic!("not whole") };
        assert!(stopped.is_incomplete() && stopped.position.timeline == Timeline(2) && stopped.position.lsn > begin);

        a.start(ServerConfig::Standby { upstream: Some(&to_b) }, &SyncNames::Nobody).await;
        a.running("streaming", streams).await;
        layout::settle(&a.settings).unwrap();
        let all = "SELECT count(*), sum(n) FROM t";
        let wanted: (i64, i64) = row(&b, all).await;
        crate::node::until("the same data", || async { (row(&a, all).await == wanted).then_some(()) }).await;
        assert!(a.client().await.query("SELECT * FROM lost", &[]).await.is_err(), "what was never replicated is gone");
        a.stop(Signal::QUIT);
        assert!(matches!(a.on_disk().await, OnDisk::Cluster { rewound: false, .. }), "an ordinary directory");
        b.stop(Signal::INT);
    });
}

#[test]
fn ended_before_it_is_consistent_it_is_worth_nothing() {
    as_postgres("rewind::ended_before_it_is_consistent_it_is_worth_nothing", || async {
        let (mut a, mut b, _) = parted(77).await;
        let to_b = b.upstream(2);
        a.start(ALONE, &SyncNames::Nobody).await;
        a.running("its end", |running| end(running).is_some()).await;
        a.stop(Signal::INT);
        configure::write_for(&a.settings, ServerConfig::Standby { upstream: Some(&to_b) }, &SyncNames::Nobody).unwrap();
        layout::begin_work(&a.settings, Work::Rewind).unwrap();
        assert!(run(&a, &plan::rewind(&a.settings, &to_b, 15, false).unwrap()));
        layout::end_rewind(&a.settings).unwrap();
        b.stop(Signal::INT);
        // With the leader gone it may wait for ever, and is not to be taken for a standby that crashed.
        a.start(ServerConfig::Standby { upstream: Some(&to_b) }, &SyncNames::Nobody).await;
        crate::node::until("it has begun", || async { (!a.settings.data_dir.join("backup_label").exists()).then_some(()) }).await;
        a.stop(Signal::QUIT);
        assert_eq!(a.on_disk().await, OnDisk::HalfMade);
    });
}

async fn row(node: &Node, query: &str) -> (i64, i64) {
    let row = node.client().await.query_one(query, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

fn run(node: &Node, command: &tanist_postgres::Command) -> bool {
    let ended = spawn(command).wait().unwrap().success();
    if !ended {
        println!("{}", fs::read_to_string(&command.log_file).unwrap_or_default());
        println!("{}", node.server_log());
    }
    ended
}
