//! Servers whose access rules, passwords or databases are not what a session over the Unix socket takes for granted.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, until},
};
use std::{sync::Arc, time::Duration};
use tanist_engine::{Moment, Postgres, ServerRole, SyncNames};
use tanist_postgres::{
    NewSession, Prober, ServerConfig, Settings, Started, TurnedAway, bootstrap, configure, new_session, signal, sql,
};
use tokio_postgres::{Client, NoTls};

const STARTED: Started = Started { since: Moment::ZERO, as_primary: true };

fn with_rules(node: &mut Node, rules: &[&str]) {
    let pg_hba = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let settings = Arc::new(Settings { pg_hba, ..(*node.settings).clone() });
    node.settings = Arc::clone(&settings);
    node.prober = Prober::new(settings, LIMIT);
}

/// A superuser's session with this database, over TCP.
async fn client(node: &Node, database: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host(&node.settings.connect.host).port(node.settings.port).user("postgres").dbname(database);
    config.password(node.settings.superuser.password.as_ref().unwrap());
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What an agent sees that has only just begun.
async fn first_look(node: &Node) -> (Postgres, String) {
    let mut prober = Prober::new(Arc::clone(&node.settings), LIMIT);
    let seen = prober.look(Moment::ZERO, STARTED).await;
    (seen, prober.error().map(ToString::to_string).unwrap_or_default())
}

/// Writes rules under the running server and has them read.
fn change_rules(node: &mut Node, rules: &[&str]) {
    let prober = std::mem::replace(&mut node.prober, Prober::new(Arc::clone(&node.settings), LIMIT));
    with_rules(node, rules);
    node.prober = prober;
    assert_eq!(configure::rewrite(&node.settings).unwrap(), Some(true));
    let postmaster = node.pid().as_raw_nonzero().get();
    signal::reload(postmaster, || true).unwrap();
    assert!(signal::reload(postmaster, || false).is_err(), "another process has its number");
}

/// As Patroni's users write them: it connects over TCP.
#[test]
fn rules_without_a_line_for_the_socket() {
    as_postgres("access::rules_without_a_line_for_the_socket", || async {
        let rules = ["host all all 127.0.0.0/8 scram-sha-256", "host replication replicator 127.0.0.0/8 scram-sha-256"];
        let mut a = Node::new("a", 81, &[]);
        with_rules(&mut a, &rules);
        a.initdb();
        a.start(ServerConfig::Primary, &SyncNames::Nobody).await;
        a.running("the new primary", |_| true).await;
        bootstrap::users(&a.settings, LIMIT).await.unwrap();
        assert_eq!(new_session::probe(&a.settings, LIMIT).await, NewSession::Served);
        sql::set_sync_names(&a.settings, &a.prober.in_force(), &SyncNames::Reserved, LIMIT).await.unwrap();

        let mut b = Node::new("b", 82, &[]);
        with_rules(&mut b, &rules);
        b.clone_from(&a.upstream(1));
        b.start(ServerConfig::Standby { upstream: None }, &SyncNames::Reserved).await;
        let known = |running: &tanist_engine::Running| matches!(running.role, ServerRole::Standby { position: Some(_), .. });
        b.running("its position, by a replication connection", known).await;

        let refusals = a.server_log().matches("no pg_hba.conf entry").count();
        assert!(refusals <= 1, "what worked is tried first: {refusals}\n{}", a.server_log());
    });
}

#[test]
fn a_password_that_was_changed_behind_our_back() {
    as_postgres("access::a_password_that_was_changed_behind_our_back", || async {
        let mut a = Node::primary("a", 83, &[]).await;
        client(&a, "postgres").await.batch_execute("ALTER ROLE postgres PASSWORD 'another'").await.unwrap();
        let (seen, error) = first_look(&a).await;
        assert_eq!(seen, Postgres::Unknown, "it lives, and nothing is known of it: {error}");
        assert!(error.contains("28P01") && error.contains("postgresql.authentication.superuser"), "{error}");
        assert!(matches!(a.look().await, Postgres::Running(_)), "over the session that is kept");
        assert!(matches!(new_session::probe(&a.settings, LIMIT).await, NewSession::Refused(_)));

        // The kept session is gone, too: the last answer is the best there is.
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tanist'";
        let mut config = tokio_postgres::Config::new();
        config.host(&a.settings.connect.host).port(a.settings.port).user("postgres").dbname("postgres").password("another");
        let (operator, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        operator.batch_execute(sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(matches!(a.look().await, Postgres::Running(_)), "{:?}", a.prober.error());
    });
}

#[test]
fn a_server_without_the_database_postgres() {
    as_postgres("access::a_server_without_the_database_postgres", || async {
        let a = Node::primary("a", 84, &[]).await;
        let operator = client(&a, "template1").await;
        operator.batch_execute("DROP DATABASE postgres WITH (FORCE)").await.unwrap();
        let (seen, error) = first_look(&a).await;
        assert!(matches!(seen, Postgres::Running(_)), "{seen:?} {error}");
        assert_eq!(new_session::probe(&a.settings, LIMIT).await, NewSession::Served);

        // What stays connected to a template keeps everybody from making a database of it.
        let mut prober = Prober::new(Arc::clone(&a.settings), LIMIT);
        prober.look(Moment::ZERO, STARTED).await;
        drop(operator);
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tanist'";
        let operator = client(&a, "template1").await;
        until("no session of ours", || async {
            (operator.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
        })
        .await;
        operator.batch_execute("CREATE DATABASE postgres").await.unwrap();
        let (seen, error) = first_look(&a).await;
        assert!(matches!(seen, Postgres::Running(_)), "{seen:?} {error}");
    });
}

#[test]
fn rules_that_let_nobody_in_can_be_corrected() {
    as_postgres("access::rules_that_let_nobody_in_can_be_corrected", || async {
        let mut a = Node::primary("a", 85, &[]).await;
        a.running("known", |_| true).await;
        change_rules(&mut a, &["host all all 10.99.0.0/16 scram-sha-256"]);
        let refused = until("the rules", || async {
            match new_session::probe(&a.settings, LIMIT).await {
                NewSession::Refused(why) => Some(why),
                _ => None,
            }
        })
        .await;
        assert!(refused.contains("(28000)") && refused.contains("pg_hba"), "{refused}");
        assert!(sql::reload(&a.settings, LIMIT).await.is_err(), "no session could do it");
        let (seen, _) = first_look(&a).await;
        assert_eq!(seen, Postgres::Unknown);
        a.prober.note(Moment::ZERO, &NewSession::Refused(refused.clone()));
        assert!(matches!(a.look().await, Postgres::Running(_)), "over the session that is kept");
        assert_eq!(a.prober.turned_away(), Some(TurnedAway::Refused(refused)), "and it says what to correct");

        change_rules(&mut a, &["host all all 127.0.0.0/8 scram-sha-256"]);
        until("service", || async { matches!(new_session::probe(&a.settings, LIMIT).await, NewSession::Served).then_some(()) })
            .await;
        a.prober.note(Moment::ZERO, &NewSession::Served);
        assert_eq!(a.prober.turned_away(), None);
        let (seen, error) = first_look(&a).await;
        assert!(matches!(seen, Postgres::Running(_)), "{seen:?} {error}");
    });
}
