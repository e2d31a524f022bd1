//! The operator's settings changed under a running server, while others change whom it follows and whom it waits for.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tanist_engine::{ServerRole, SyncNames};
use tanist_postgres::{PendingRestart, ServerConfig, Settings, accepted, configure, cut, sql};

const BARRIER: Duration = Duration::from_secs(10);

fn with(settings: &Settings, parameters: &[(&str, &str)]) -> Settings {
    let mut changed = settings.clone();
    changed.parameters.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    changed
}

async fn shown(node: &Node, parameter: &str) -> String {
    let sql = format!("SELECT current_setting('{parameter}')");
    node.client().await.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Rewrites and reloads without a pause, each time with another value, until told to end; how often.
fn keep_rewriting(node: &Node) -> (Arc<AtomicBool>, Arc<AtomicU32>, tokio::task::JoinHandle<()>) {
    let (end, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (settings, told, counted) = (node.settings.clone(), end.clone(), rounds.clone());
    let task = tokio::spawn(async move {
        while !told.load(Ordering::SeqCst) {
            let round = counted.fetch_add(1, Ordering::SeqCst);
            let changed = with(&settings, &[("work_mem", &format!("{}kB", 4096 + round % 1000))]);
            tokio::task::spawn_blocking(move || configure::rewrite(&changed)).await.unwrap().unwrap();
            sql::reload(&settings, LIMIT).await.unwrap();
        }
    });
    (end, rounds, task)
}

/// The barrier under a promise, and its end, again and again beside rewrites: what was written for it stays.
#[test]
fn a_rewrite_beside_a_promise_never_brings_the_upstream_back() {
    as_postgres("live::a_rewrite_beside_a_promise_never_brings_the_upstream_back", || async {
        let a = Node::primary("a", 71, &[]).await;
        let mut b = Node::standby_of("b", 72, &a, &[]).await;
        let streams = |running: &tanist_engine::Running| matches!(running.role, ServerRole::Standby { streaming: true, .. });
        b.running("streaming", streams).await;
        let (end, rounds, task) = keep_rewriting(&b);
        for _ in 0..8 {
            cut::cut(&b.settings, b.pid().as_raw_nonzero().get(), &SyncNames::Reserved, BARRIER).await.unwrap();
            let begun = rounds.load(Ordering::SeqCst);
            while rounds.load(Ordering::SeqCst) < begun + 5 {
                tokio::time::sleep(Duration::from_millis(2)).await;
                assert_eq!(shown(&b, "primary_conninfo").await, "", "cut off, and stays so");
            }
            assert_eq!(shown(&b, "synchronous_standby_names").await, "FIRST 1 (\"__tanist_nobody__\")");
            sql::follow(&b.settings, Some(&a.upstream(1)), &SyncNames::Reserved, LIMIT).await.unwrap();
            b.running("streaming again", streams).await;
        }
        end.store(true, Ordering::SeqCst);
        task.await.unwrap();
        println!("{} rewrites", rounds.load(Ordering::SeqCst));
    });
}

/// Names set and checked beside rewrites: in force is in force.
#[test]
fn a_rewrite_beside_the_names_leaves_them() {
    as_postgres("live::a_rewrite_beside_the_names_leaves_them", || async {
        let a = Node::primary("a", 73, &[]).await;
        let (end, rounds, task) = keep_rewriting(&a);
        for round in 0..20 {
            let (names, text) = match round % 2 {
                0 => (SyncNames::Reserved, "FIRST 1 (\"__tanist_nobody__\")"),
                _ => (SyncNames::Nobody, ""),
            };
            sql::set_sync_names(&a.settings, &a.prober.in_force(), &names, LIMIT).await.unwrap();
            for _ in 0..3 {
                assert_eq!(shown(&a, "synchronous_standby_names").await, text);
            }
        }
        end.store(true, Ordering::SeqCst);
        task.await.unwrap();
        assert!(rounds.load(Ordering::SeqCst) > 10, "rewrites took place");
    });
}

/// The mode switched on under a standby: its promotion would acknowledge nothing. Under a primary the names are not touched.
#[test]
fn the_reserved_name_comes_with_the_mode() {
    as_postgres("live::the_reserved_name_comes_with_the_mode", || async {
        let mut a = Node::new("a", 74, &[]);
        let off = Settings { synchronous: false, ..(*a.settings).clone() };
        a.settings = Arc::new(off.clone());
        a.initdb();
        let on = Settings { synchronous: true, ..off.clone() };
        let names = |settings: &Settings| {
            let text = std::fs::read_to_string(settings.config_file()).unwrap();
            text.lines().rev().find_map(|line| line.strip_prefix("synchronous_standby_names = ")).map(str::to_owned)
        };
        assert_eq!(configure::rewrite(&off).unwrap(), None, "initdb's file is left alone");
        configure::write_for(&off, ServerConfig::Standby { upstream: None }, &SyncNames::Nobody).unwrap();
        assert_eq!(names(&off), None);
        assert_eq!(configure::rewrite(&on).unwrap(), Some(true));
        assert_eq!(names(&on).as_deref(), Some("'FIRST 1 (\"__tanist_nobody__\")'"));
        assert_eq!(configure::rewrite(&off).unwrap(), Some(true));
        assert_eq!(names(&on).as_deref(), Some("'FIRST 1 (\"__tanist_nobody__\")'"), "nothing is loosened here");
        configure::write_for(&on, ServerConfig::Primary, &SyncNames::one("b".into())).unwrap();
        for settings in [&off, &on] {
            configure::rewrite(settings).unwrap();
            assert_eq!(names(settings).as_deref(), Some("'FIRST 1 (\"b\")'"), "nor for a primary");
        }
    });
}

/// What a real PostgreSQL refuses, and what waits for a restart.
#[test]
fn values_are_asked_for_before_they_are_written() {
    as_postgres("live::values_are_asked_for_before_they_are_written", || async {
        let mut a = Node::primary("a", 75, &[("work_mem", "8MB")]).await;
        let mut wish = with(
            &a.settings,
            &[
                ("work_mem", "lots"),
                ("nonsense", "1"),
                ("nonsense2", "1"),
                ("shared_buffers", "1"),
                ("log_destination", "csvlog"),
                ("log_min_messages", "panic"),
                ("datestyle", "when"),
                ("lc_messages", "C"),
                ("max_connections", "77"),
                ("shared_preload_libraries", "no_such_thing"),
                ("some.thing", "it's"),
            ],
        );
        let refused = accepted::accept(&mut wish, &a.settings, LIMIT).await.unwrap();
        let mut options: Vec<&str> = refused.iter().map(|one| one.option.as_str()).collect();
        options.sort_unstable();
        let expected = ["datestyle", "nonsense", "nonsense2", "shared_buffers", "shared_preload_libraries", "work_mem"];
        assert_eq!(options, expected.map(|name| format!("parameters.{name}")), "{refused:#?}");
        let of = |name: &str| wish.parameters.get(name).map(String::as_str);
        assert_eq!((of("work_mem"), of("shared_buffers"), of("nonsense")), (Some("8MB"), Some("8MB"), None));
        assert_eq!((of("max_connections"), of("some.thing")), (Some("77"), Some("it's")));
        assert_eq!(accepted::accept(&mut wish, &a.settings, LIMIT).await.unwrap(), [], "and is accepted then");

        assert_eq!(configure::rewrite(&wish).unwrap(), Some(true));
        sql::reload(&wish, LIMIT).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..200 {
            a.look().await;
            waiting = a.prober.facts().map(|facts| facts.pending_restart.clone()).unwrap_or_default();
            if !waiting.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let expected = PendingRestart { parameter: "max_connections".into(), old: "100".into(), new: "77".into() };
        assert_eq!(waiting, [expected]);
        assert_eq!(shown(&a, "some.thing").await, "it's");
    });
}
