//! A standby that was away while the primary went on.

use crate::{
    as_postgres::as_postgres,
    node::{Node, until},
};
use std::time::Duration;
use tanist_engine::{Lsn, Running, ServerRole, SyncNames};
use tanist_postgres::{ServerConfig, configure, leader};

fn streams(running: &Running) -> bool {
    matches!(running.role, ServerRole::Standby { streaming: true, .. })
}

/// A standby between its copy and its first connection, while somebody else is copied: a checkpoint, and segments end.
async fn away(host: u8, parameters: &[(&str, &str)]) -> (Node, Node) {
    let a = Node::primary("a", host, parameters).await;
    let mut b = Node::new("b", host + 1, parameters);
    b.clone_from(&a.upstream(1));
    let client = a.client().await;
    for _ in 0..2 {
        client.batch_execute("CREATE TABLE t(); DROP TABLE t; SELECT pg_switch_wal()").await.unwrap();
        client.batch_execute("CHECKPOINT").await.unwrap();
    }
    let upstream = a.upstream(1);
    b.start(ServerConfig::Standby { upstream: Some(&upstream) }, &SyncNames::Nobody).await;
    (a, b)
}

#[test]
fn a_standby_that_was_away_finds_its_wal() {
    as_postgres("away::a_standby_that_was_away_finds_its_wal", || async {
        let (_a, mut b) = away(61, &[]).await;
        b.running("streaming", streams).await;

        // Without WAL that is kept for it, it stands for ever.
        let (a, mut b) = away(63, &[("wal_keep_size", "0")]).await;
        until("its complaint", || async { b.server_log().contains("has already been removed").then_some(()) }).await;
        assert!(!streams(&b.running("a standby", |_| true).await));
        // The leader says so, and that it has what comes now.
        let (upstream, limit) = (a.upstream(1), Duration::from_secs(20));
        configure::write_pgpass(&b.settings, &upstream.endpoint).unwrap();
        let next = |lsn| leader::has_lost(&b.settings, &upstream, Lsn(lsn), limit);
        assert!(next(0x100_0000).await.unwrap());
        let now: String = a.client().await.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
        let (high, low) = now.split_once('/').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        assert!(!next(number(high) << 32 | number(low)).await.unwrap());
    });
}
