//! The claimed timeline number is the one that is opened, and numbers that were passed over hurt nobody.

use crate::{
    as_postgres::as_postgres,
    node::{Node, until},
};
use rustix::process::Signal;
use tanist_engine::{Postgres, Running, ServerRole, SyncNames, Timeline};
use tanist_postgres::{ServerConfig, forget_skipped, skip_timelines};

fn primary_on(running: &Running, timeline: u32) -> bool {
    matches!(&running.role, ServerRole::Primary { position, .. } if position.timeline == Timeline(timeline))
}

fn streams_on(running: &Running, timeline: u32) -> bool {
    match &running.role {
        ServerRole::Standby { position: Some(position), streaming, .. } => *streaming && position.timeline == Timeline(timeline),
        _ => false,
    }
}

#[test]
fn the_claimed_number_is_opened_and_followed() {
    as_postgres("timelines::the_claimed_number_is_opened_and_followed", || async {
        let mut a = Node::primary("a", 61, &[]).await;
        let mut b = Node::standby_of("b", 62, &a, &[]).await;
        let mut c = Node::standby_of("c", 63, &a, &[]).await;
        for node in [&mut b, &mut c] {
            node.running("streaming", |running| streams_on(running, 1)).await;
        }
        // Prepared for another number, and not promoted: the files would end the next start.
        skip_timelines(&b.settings.data_dir, Timeline(1), Timeline(4)).unwrap();
        b.stop(Signal::INT);
        let to_a = a.upstream(1);
        b.start(ServerConfig::Standby { upstream: Some(&to_a) }, &SyncNames::Nobody).await;
        until("a server that takes an empty history for its goal", || async {
            b.server_log().contains("unexpected timeline ID 1").then_some(())
        })
        .await;
        assert!(matches!(b.look().await, Postgres::Starting { .. }), "{}", b.server_log());
        b.stop(Signal::QUIT);
        assert_eq!(forget_skipped(&b.settings.data_dir).unwrap(), 2);
        b.start(ServerConfig::Standby { upstream: Some(&to_a) }, &SyncNames::Nobody).await;
        b.running("streaming again", |running| streams_on(running, 1)).await;

        a.stop(Signal::INT);
        skip_timelines(&b.settings.data_dir, Timeline(1), Timeline(5)).unwrap();
        b.promote();
        b.running("the claimed timeline", |running| primary_on(running, 5)).await;
        let to_b = b.upstream(2);
        c.stop(Signal::INT);
        for _ in 0..2 {
            // The second time with the empty files that it has fetched, which lead to a real one and stay.
            assert_eq!(forget_skipped(&c.settings.data_dir).unwrap(), 0);
            c.start(ServerConfig::Standby { upstream: Some(&to_b) }, &SyncNames::Nobody).await;
            c.running("streaming on the claimed timeline", |running| streams_on(running, 5)).await;
            c.stop(Signal::INT);
        }
    });
}
