//! A walsender outlives the server at its other end; it is ended, and whoever connects then has another one.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node},
};
use rustix::process::Signal;
use tanist_engine::{Connection, Running, ServerRole, StandbySeen};
use tanist_postgres::sql;

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
