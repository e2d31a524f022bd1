//! Two servers: clone, follow, cut off, promote.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, until},
};
use rustix::process::Signal;
use std::sync::Arc;
use tanist_engine::{Epoch, Lsn, MemberName, Moment, Running, ServerRole, SyncNames, Timeline};
use tanist_postgres::{OnDisk, ServerConfig, configure, prove, sql};

/// Position, whether it streams, and whom it follows.
type Standby = (Option<(Timeline, Lsn)>, bool, Option<MemberName>);

fn standby(running: &Running) -> Option<Standby> {
    match &running.role {
        ServerRole::Standby { position, streaming, upstream, .. } => {
            Some((position.map(|at| (at.timeline, at.lsn)), *streaming, upstream.as_ref().map(|upstream| upstream.name.clone())))
        }
        ServerRole::Primary { .. } => None,
    }
}

fn primary(running: &Running) -> Option<(Timeline, Lsn)> {
    match &running.role {
        ServerRole::Primary { position, .. } => Some((position.timeline, position.lsn)),
        ServerRole::Standby { .. } => None,
    }
}

async fn caught_up(a: &mut Node, b: &mut Node) -> (Timeline, Lsn) {
    let end = primary(&a.running("the primary", |_| true).await).expect("a primary");
    b.running("caught up", |running| standby(running).is_some_and(|(position, streaming, _)| streaming && position >= Some(end)))
        .await;
    end
}

#[test]
fn the_whole_way() {
    as_postgres("clone_and_promote::the_whole_way", || async {
        let mut a = Node::primary("node a", 11, &[("max_connections", "55")]).await;
        a.client().await.batch_execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n").await.unwrap();
        // Its own configuration says less than its primary has: it must start all the same.
        let mut b = Node::standby_of("node b", 12, &a, &[("max_connections", "30")]).await;
        let end = caught_up(&mut a, &mut b).await;
        let seen = b.running("the standby", |_| true).await;
        let ServerRole::Standby { upstream: Some(upstream), replayed, .. } = &seen.role else { panic!("{seen:?}") };
        assert_eq!(*upstream, a.upstream(1));
        assert!(*replayed <= end.1 || standby(&seen).unwrap().0.unwrap().1 >= *replayed);
        let shown = a
            .running(
                "one standby",
                |running| matches!(&running.role, ServerRole::Primary { standbys, .. } if standbys.len() == 1),
            )
            .await;
        let ServerRole::Primary { standbys, .. } = shown.role else { panic!("no primary") };
        assert!(standbys[0].name == MemberName("node b".into()) && standbys[0].streaming && !standbys[0].sync);
        assert!(prove::prove(&b.settings, Epoch(1), Moment::ZERO, LIMIT).await.is_err(), "a standby proves nothing");

        // Cut off: it follows nobody, and still knows how far it has come, on which timeline.
        sql::follow(&b.settings, None, &SyncNames::Reserved, LIMIT).await.unwrap();
        if let Some(pid) = b.prober.facts().unwrap().receiver_pid {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM);
        }
        let cut = b.running("cut off", |running| matches!(standby(running), Some((Some(_), false, None)))).await;
        let (timeline, lsn) = standby(&cut).unwrap().0.unwrap();
        assert_eq!(timeline, Timeline(1));
        assert!(lsn >= end.1);

        // It can be pointed back without a restart.
        let upstream = a.upstream(9);
        sql::follow(&b.settings, Some(&upstream), &SyncNames::Reserved, LIMIT).await.unwrap();
        let again = b.running("streaming again", |running| standby(running).is_some_and(|(_, streaming, _)| streaming)).await;
        let ServerRole::Standby { upstream: Some(seen), .. } = again.role else { panic!("no upstream") };
        assert_eq!(seen.epoch, Epoch(9));

        // The old primary ends in order: the standby has all of it, to the byte.
        a.stop(Signal::INT);
        let OnDisk::Cluster { control, .. } = a.on_disk().await else { panic!("no cluster") };
        let old_end = control.stopped().position;
        b.running("the end of the old primary", |running| {
            standby(running).is_some_and(|(position, streaming, _)| !streaming && position == Some((Timeline(1), old_end.lsn)))
        })
        .await;

        b.promote();
        let promoted =
            b.running("promoted", |running| primary(running).is_some_and(|(timeline, _)| timeline == Timeline(2))).await;
        let ServerRole::Primary { timeline_begin, names_in_force, .. } = &promoted.role else { panic!("no primary") };
        assert_eq!(*timeline_begin, Some(old_end.lsn));
        assert_eq!(*names_in_force, Some(SyncNames::Reserved), "known before the promotion, without another check");
        let proof = prove::prove(&b.settings, Epoch(10), Moment::ZERO, LIMIT).await.unwrap();
        assert_eq!(proof.timeline, Timeline(2));

        // The old primary comes back as a standby of the new one.
        let upstream = b.upstream(10);
        a.start(ServerConfig::Standby { upstream: Some(&upstream) }, &SyncNames::Reserved).await;
        let end = caught_up(&mut b, &mut a).await;
        assert_eq!(end.0, Timeline(2));
        b.stop(Signal::INT);
        a.stop(Signal::INT);
        let OnDisk::Cluster { control, .. } = a.on_disk().await else { panic!("no cluster") };
        let stopped = control.stopped();
        assert!(stopped.clean && !stopped.was_primary);
        assert_eq!(stopped.position.timeline, Timeline(2));
    });
}

#[test]
fn a_restarted_standby_does_not_know_before_it_has_replayed() {
    as_postgres("clone_and_promote::a_restarted_standby_does_not_know_before_it_has_replayed", || async {
        let mut a = Node::primary("a", 13, &[]).await;
        let mut b = Node::standby_of("b", 14, &a, &[]).await;
        caught_up(&mut a, &mut b).await;
        // Received and acknowledged, not replayed: then it is killed, and after the restart replay stops in front of it.
        b.client().await.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
        let client = b.client().await;
        until("paused", || async {
            client
                .query_one("SELECT pg_get_wal_replay_pause_state() = 'paused'", &[])
                .await
                .unwrap()
                .get::<_, bool>(0)
                .then_some(())
        })
        .await;
        a.client().await.batch_execute("CREATE TABLE big AS SELECT generate_series(1, 50000) AS n").await.unwrap();
        let end = caught_up(&mut a, &mut b).await;
        b.stop(Signal::QUIT);
        a.stop(Signal::QUIT);
        let at_once = Arc::clone(&b.settings);
        let mut delayed = (*b.settings).clone();
        delayed.parameters.insert("recovery_min_apply_delay".into(), "1h".into());
        b.settings = Arc::new(delayed);
        b.start(ServerConfig::Standby { upstream: None }, &SyncNames::Reserved).await;
        let seen = b.running("a restarted standby", |_| true).await;
        let ServerRole::Standby { position: None, replayed, .. } = seen.role else { panic!("claims to know: {seen:?}") };
        assert!(replayed < end.1, "the test lost its point: nothing is left to replay");

        configure::write_for(&at_once, ServerConfig::Standby { upstream: None }, &SyncNames::Reserved).unwrap();
        sql::reload(&at_once, LIMIT).await.unwrap();
        let known =
            b.running("a known position", |running| standby(running).is_some_and(|(position, ..)| position.is_some())).await;
        assert!(standby(&known).unwrap().0.unwrap() >= end, "{known:?} behind {end:?}");
    });
}
