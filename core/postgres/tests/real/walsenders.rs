//! A walsender outlives the server at its other end; it is ended, and whoever connects then has another one.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node},
};
use rustix::process::Signal;
use std::collections::BTreeSet;
use tanist_engine::{Connection, Endpoint, Running, ServerRole, StandbySeen, SyncNames};
use tanist_postgres::{ServerConfig, Walsender, sql};

fn standbys(running: &Running) -> &[StandbySeen] {
    match &running.role {
        ServerRole::Primary { standbys, .. } => standbys,
        ServerRole::Standby { .. } => &[],
    }
}

fn streams(running: &Running, other_than: Option<Connection>) -> bool {
    standbys(running).iter().any(|standby| standby.streaming && Some(standby.connection) != other_than)
}

#[test]
fn a_walsender_of_a_silent_standby_is_ended_and_a_new_connection_is_another_one() {
    as_postgres("walsenders::a_walsender_of_a_silent_standby_is_ended_and_a_new_connection_is_another_one", || async {
        let mut primary = Node::primary("a", 76, &[]).await;
        let standby = Node::standby_of("b", 77, &primary, &[]).await;
        let found = primary.running("a standby that streams", |running| streams(running, None)).await;
        let &[StandbySeen { connection, .. }] = standbys(&found) else { panic!("one walsender: {found:?}") };
        assert!(connection.pid > 0 && connection.began > 1_600_000_000_000_000, "{connection:?}");

        // Its postmaster: the walreceiver goes on, and no other one is started.
        standby.signal(Signal::STOP);
        let again = primary.running("an answer", |_| true).await;
        assert_eq!(standbys(&again)[0].connection, connection);
        assert!(standbys(&again)[0].streaming);

        let other = Connection { began: connection.began + 1, ..connection };
        assert_eq!(sql::end_connections(&primary.settings, &[other], LIMIT).await.unwrap(), 0, "another one with its number");
        assert_eq!(sql::end_connections(&primary.settings, &[connection], LIMIT).await.unwrap(), 1);
        primary.running("no walsender", |running| standbys(running).is_empty()).await;

        standby.signal(Signal::CONT);
        primary.running("another connection", |running| streams(running, Some(connection))).await;
    });
}

#[test]
fn a_standby_of_a_quorum_is_synchronous() {
    as_postgres("walsenders::a_standby_of_a_quorum_is_synchronous", || async {
        let mut a = Node::primary("a", 78, &[]).await;
        let b = Node::standby_of("b", 79, &a, &[]).await;
        a.running("a standby that streams", |running| streams(running, None)).await;
        let names = SyncNames::AnyOf { count: 1, standbys: BTreeSet::from(["b".into(), "c".into()]) };
        sql::set_sync_names(&a.settings, &a.prober.in_force(), &names, LIMIT).await.unwrap();
        a.running("a synchronous one", |running| standbys(running).iter().any(|standby| standby.sync)).await;
        let expected = Walsender {
            usename: "replicator".into(),
            application_name: "b".into(),
            client_addr: Some("127.0.0.1".into()),
            state: "streaming".into(),
            sync_state: "quorum".into(),
            sync_priority: 1,
        };
        assert_eq!(a.prober.facts().map(|facts| facts.replication.as_slice()), Some([expected].as_slice()));
        drop(b);
    });
}

#[test]
fn a_standby_that_does_not_stream_takes_from_the_archive() {
    as_postgres("walsenders::a_standby_that_does_not_stream_takes_from_the_archive", || async {
        let a = Node::primary("a", 86, &[]).await;
        let mut b = Node::new("b", 87, &[("restore_command", "test -z %p")]);
        b.clone_from(&a.upstream(1));
        let mut nobody = a.upstream(1);
        nobody.endpoint = Endpoint { port: 1, ..nobody.endpoint };
        b.start(ServerConfig::Standby { upstream: Some(&nobody) }, &SyncNames::Reserved).await;
        b.running("a standby", |_| true).await;
        assert_eq!(b.prober.facts().map(|facts| facts.in_archive_recovery), Some(true));
        sql::follow(&b.settings, Some(&a.upstream(1)), &SyncNames::Reserved, LIMIT).await.unwrap();
        b.running("streaming", |running| matches!(running.role, ServerRole::Standby { streaming: true, .. })).await;
        assert_eq!(b.prober.facts().map(|facts| facts.in_archive_recovery), Some(false));
    });
}
