//! A server that lives and does not serve.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, until},
};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tanist_engine::{Moment, Postgres, SyncNames};
use tanist_postgres::{NewSession, PlanError, new_session, plan, sql};

#[test]
fn a_hung_postmaster_is_seen_by_newcomers_only() {
    as_postgres("health::a_hung_postmaster_is_seen_by_newcomers_only", || async {
        let mut node = Node::primary("a", 31, &[]).await;
        sql::set_sync_names(&node.settings, &node.prober.in_force(), &SyncNames::Nobody, LIMIT).await.unwrap();
        node.running("known", |_| true).await;
        let PlanError::Socket(path) = plan::check_listen(&node.settings).unwrap_err() else { panic!("another error") };
        assert_eq!(path, node.settings.socket_path());
        node.signal(Signal::STOP);
        let asked = Instant::now();
        let limit = Duration::from_millis(600);
        let new = new_session::probe(&node.settings, limit).await;
        assert_eq!(new, NewSession::NoAnswer);
        assert!(asked.elapsed() < Duration::from_secs(10), "the limit holds");
        assert!(matches!(node.look().await, Postgres::Running(_)), "the kept session still answers");
        let now = Moment::from_nanos(5);
        node.prober.note(now, &new);
        node.prober.note(Moment::from_nanos(6), &new);
        assert!(matches!(node.look().await, Postgres::Running(_)), "two of them may be an accident");
        node.prober.note(Moment::from_nanos(7), &new);
        assert_eq!(node.look().await, Postgres::Unresponsive { since: now });

        node.signal(Signal::CONT);
        until("service", || async {
            matches!(new_session::probe(&node.settings, LIMIT).await, NewSession::Served).then_some(())
        })
        .await;
        node.prober.note(Moment::from_nanos(9), &NewSession::Served);
        assert!(matches!(node.look().await, Postgres::Running(_)));
    });
}

#[test]
fn the_end_of_the_kept_session_is_not_the_end_of_the_server() {
    as_postgres("health::the_end_of_the_kept_session_is_not_the_end_of_the_server", || async {
        let mut node = Node::primary("a", 33, &[]).await;
        node.running("known", |_| true).await;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'tanist'";
        // The kept one; PostgreSQL may still show one beside it that was closed a moment ago.
        assert!(node.client().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= 1);
        assert!(matches!(node.look().await, Postgres::Running(_)), "{:?}", node.prober.error());
    });
}

#[test]
fn a_full_server_is_not_dead() {
    as_postgres("health::a_full_server_is_not_dead", || async {
        let mut node = Node::primary("a", 32, &[("max_connections", "12"), ("max_wal_senders", "2")]).await;
        node.running("known", |_| true).await;
        let mut clients = Vec::new();
        loop {
            let mut config = tokio_postgres::Config::new();
            config.host_path(&node.settings.socket_dir).port(node.settings.port).user("postgres").dbname("postgres");
            config.password(node.settings.superuser.password.as_ref().unwrap());
            let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await else { break };
            tokio::spawn(connection);
            clients.push(client);
        }
        assert!((5..13).contains(&clients.len()), "{}", clients.len());
        let new = new_session::probe(&node.settings, LIMIT).await;
        assert_eq!(new, NewSession::Full);
        node.prober.note(Moment::ZERO, &new);
        assert!(matches!(node.look().await, Postgres::Running(_)));
    });
}
