//! The table of paths and situations.

use super::*;
use serde_json::json;
use std::time::Duration;
use tanist_engine::MemberState;

fn standby() -> Facts {
    Facts {
        standing: Standing::None,
        proved: false,
        state: MemberState::Streaming,
        role: Role::Replica,
        streaming: true,
        received: Some(Lsn(900)),
        replayed: Some(Lsn(500)),
        leader_lsn: Some(Lsn(1000)),
        sync_standby: false,
        quorum_standby: false,
        cluster_known: true,
        paused: false,
        failsafe: false,
        tags: crate::TagMap::new(),
        maximum_lag: 1 << 20,
        since_decision: Duration::from_secs(1),
        loop_wait: Duration::from_secs(1),
        ttl: Duration::from_secs(5),
    }
}

fn primary_node() -> Facts {
    Facts {
        standing: Standing::Firm,
        proved: true,
        state: MemberState::Running,
        role: Role::Primary,
        streaming: false,
        ..standby()
    }
}

/// The paths that answer 200.
fn yes(facts: &Facts) -> Vec<&'static str> {
    HEALTH_PATHS.into_iter().filter(|path| status(&format!("/{path}"), &Query::default(), facts) == 200).collect()
}

fn ask(path_and_query: &str, facts: &Facts) -> u16 {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    status(path, &Query::parse(query), facts)
}

const READS_OF_A_LEADER: [&str; 7] =
    ["read-only", "health", "liveness", "readiness", "read-only-sync", "read-only-synchronous", "read-only-quorum"];

#[test]
fn a_proved_primary() {
    assert_eq!(yes(&primary_node()), [&["", "primary", "master", "read-write", "leader"][..], &READS_OF_A_LEADER].concat());
}

#[test]
fn a_leader_that_is_not_proved_is_no_primary() {
    let facts = Facts { proved: false, ..primary_node() };
    assert_eq!(yes(&facts), [&["leader"][..], &READS_OF_A_LEADER].concat());
}

#[test]
fn a_primary_whose_lease_is_late_gets_no_new_clients() {
    let facts = Facts { standing: Standing::Late, ..primary_node() };
    assert_eq!(yes(&facts), [&["leader"][..], &READS_OF_A_LEADER].concat());
}

#[test]
fn a_primary_without_lease_is_nothing() {
    assert_eq!(yes(&Facts { standing: Standing::None, ..primary_node() }), ["health", "liveness"]);
}

#[test]
fn standbys() {
    let all = ["replica", "read-only", "health", "liveness", "readiness"];
    assert_eq!(yes(&standby()), [&all[..], &["async", "asynchronous"]].concat());
    let sync = Facts { sync_standby: true, ..standby() };
    assert_eq!(yes(&sync), [&all[..], &["sync", "synchronous", "read-only-sync", "read-only-synchronous"]].concat());
    let quorum = Facts { quorum_standby: true, ..standby() };
    assert_eq!(yes(&quorum), [&all[..], &["quorum", "read-only-quorum"]].concat());
    let blind = Facts { sync_standby: true, cluster_known: false, ..standby() };
    assert_eq!(yes(&blind), all);
    let starting = Facts { state: MemberState::Starting, ..standby() };
    assert_eq!(yes(&starting), ["liveness"]);
}

#[test]
fn lag_is_counted_in_bytes_and_units() {
    assert_eq!(ask("/replica?lag=500", &standby()), 200);
    assert_eq!(ask("/replica?lag=499", &standby()), 503);
    assert_eq!(ask("/replica?lag=1kB", &standby()), 200);
    assert_eq!(ask("/replica?lag=nonsense", &standby()), 200);
    assert_eq!(ask("/replica?lag=-1", &standby()), 503);
    assert_eq!(ask("/replica?lag=-1", &Facts { replayed: Some(Lsn(1000)), ..standby() }), 503);
    assert_eq!(ask("/replica?lag=-1", &Facts { replayed: Some(Lsn(1001)), ..standby() }), 200, "ahead of what the leader told");
    assert_eq!(ask("/replica?lag=-1", &Facts { leader_lsn: None, ..standby() }), 200, "nothing to compare with");
    assert_eq!(ask("/replica?lag=%2B500", &standby()), 200);
    assert_eq!(ask("/readiness?lag=-1kB", &standby()), 503);
    assert_eq!(ask("/async?lag=499", &standby()), 503);
    assert_eq!(ask("/replica?lag=0", &Facts { leader_lsn: None, ..standby() }), 200);
    assert_eq!(ask("/readiness?lag=499", &standby()), 503);
    assert_eq!(ask("/readiness?lag=499&mode=write", &standby()), 200);
    assert_eq!(ask("/readiness", &Facts { maximum_lag: 499, ..standby() }), 503);
}

#[test]
fn readiness_needs_a_stream_or_the_failsafe() {
    assert_eq!(ask("/readiness", &Facts { streaming: false, state: MemberState::Running, ..standby() }), 503);
    let blind = Facts { leader_lsn: None, ..standby() };
    assert_eq!(ask("/readiness", &blind), 503);
    assert_eq!(ask("/readiness", &Facts { failsafe: true, ..blind }), 200);
}

#[test]
fn replication_state_can_be_asked_for() {
    assert_eq!(ask("/replica?replication_state=streaming", &standby()), 200);
    assert_eq!(ask("/replica?replication_state=streaming", &Facts { streaming: false, ..standby() }), 503);
    assert_eq!(ask("/replica?replication_state=other", &standby()), 503);
}

#[test]
fn tags() {
    let mut facts = standby();
    facts.tags.insert("site".to_owned(), json!("a"));
    facts.tags.insert("nosync".to_owned(), json!(true));
    assert_eq!(ask("/replica?tag_site=a&tag_nosync=true", &facts), 200);
    assert_eq!(ask("/replica?tag_site=b", &facts), 503);
    assert_eq!(ask("/replica?tag_other=a", &facts), 503);
    assert_eq!(ask("/primary?tag_other=a", &primary_node()), 200);
    facts.tags.insert("nofailover".to_owned(), json!(false));
    assert_eq!(ask("/replica?tag_nofailover=false", &facts), 503, "Patroni does not have a flag that is off");
    facts.tags.insert("failover_priority".to_owned(), json!(2));
    assert_eq!(ask("/replica?tag_nofailover=false", &facts), 200, "beside a priority it says something");
    facts.tags.insert("noloadbalance".to_owned(), json!(true));
    assert_eq!(ask("/replica", &facts), 503);
    assert_eq!(ask("/health", &facts), 200);
}

#[test]
fn liveness_gives_a_replica_twice_the_time() {
    let late = |facts: Facts, seconds| Facts { since_decision: Duration::from_secs(seconds), ..facts };
    assert_eq!(ask("/liveness", &late(primary_node(), 5)), 200);
    assert_eq!(ask("/liveness", &late(primary_node(), 6)), 503);
    assert_eq!(ask("/liveness", &late(standby(), 10)), 200);
    assert_eq!(ask("/liveness", &late(standby(), 11)), 503);
    assert_eq!(ask("/liveness", &Facts { paused: true, ..late(standby(), 99) }), 200);
}

/// What a load balancer may ask, besides the bare paths.
const NARROWED: [&str; 12] = [
    "replica?lag=500",
    "replica?lag=499",
    "replica?lag=1kB",
    "replica?replication_state=streaming",
    "replica?tag_site=a",
    "replica?tag_site=b",
    "read-only?tag_site=b",
    "async?lag=499",
    "primary?tag_site=b",
    "health?tag_site=b",
    "readiness?lag=499",
    "readiness?lag=499&mode=write",
];

/// Every situation that some path tells from the others.
fn situations() -> Vec<(&'static str, Facts)> {
    let tagged = |name: &str, value: serde_json::Value, mut facts: Facts| {
        facts.tags.insert(name.to_owned(), value);
        facts
    };
    let stopped = Facts { state: MemberState::Stopped, role: Role::Demoted, streaming: false, ..standby() };
    vec![
        ("proved primary", primary_node()),
        ("leader, promotion not proved", Facts { proved: false, ..primary_node() }),
        ("leader, still a standby", Facts { standing: Standing::Firm, ..standby() }),
        ("leader, server is down", Facts { standing: Standing::Firm, ..stopped.clone() }),
        ("primary, less than the fence's budget left", Facts { standing: Standing::Late, ..primary_node() }),
        ("primary, lease is over", Facts { standing: Standing::None, ..primary_node() }),
        ("primary, store not heard for ttl", Facts { cluster_known: false, ..primary_node() }),
        ("primary, agent is late", Facts { since_decision: Duration::from_secs(7), ..primary_node() }),
        ("primary, tag site=a", tagged("site", json!("a"), primary_node())),
        ("asynchronous standby", standby()),
        ("synchronous standby", Facts { sync_standby: true, ..standby() }),
        ("standby of the quorum", Facts { quorum_standby: true, ..standby() }),
        ("standby, tag site=a", tagged("site", json!("a"), standby())),
        ("standby, tag noloadbalance", tagged("noloadbalance", json!(true), Facts { sync_standby: true, ..standby() })),
        ("standby that does not stream", Facts { streaming: false, state: MemberState::Running, ..standby() }),
        ("standby, store not heard for ttl", Facts { sync_standby: true, cluster_known: false, ..standby() }),
        ("standby, leader's position unknown", Facts { leader_lsn: None, ..standby() }),
        ("standby, failsafe", Facts { leader_lsn: None, cluster_known: false, failsafe: true, ..standby() }),
        ("standby, agent is late", Facts { since_decision: Duration::from_secs(7), ..standby() }),
        ("standby that starts", Facts { state: MemberState::Starting, streaming: false, ..standby() }),
        ("stopped", stopped),
        ("agent stands, maintenance", Facts { since_decision: Duration::from_secs(99), paused: true, ..standby() }),
        ("agent stands", Facts { since_decision: Duration::from_secs(99), ..standby() }),
    ]
}

/// The whole table, every path in every situation: `tests/goldens/rest-health.txt`. `TANIST_BLESS=1` writes it anew; look at the
/// difference before you believe it.
#[test]
fn every_path_in_every_situation() {
    let paths: Vec<&str> = HEALTH_PATHS.into_iter().chain(NARROWED).collect();
    let situations = situations();
    let mut table = String::new();
    let letter = |index: usize| char::from(b'a' + u8::try_from(index).unwrap());
    for (index, (name, _)) in situations.iter().enumerate() {
        table += &format!("{} {name}\n", letter(index));
    }
    table += "\nThe letters of the situations in which a path answers 200; elsewhere 503.\n\n";
    for path in paths {
        let mark = |(index, (_, facts)): (usize, &(&str, Facts))| match ask(&format!("/{path}"), facts) {
            200 => letter(index),
            code => {
                assert_eq!(code, 503, "/{path}");
                '.'
            }
        };
        let marks: String = situations.iter().enumerate().map(mark).collect();
        table += &format!("{:<39}{marks}\n", format!("/{path}"));
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/rest-health.txt");
    if std::env::var_os("TANIST_BLESS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(file).unwrap_or_default());
}

#[test]
fn unknown_paths() {
    assert_eq!(ask("/primaryx", &primary_node()), 503);
    assert!(is_health_path("/") && is_health_path("/primary") && !is_health_path("/patroni"));
    assert!(is_health_path("/primary/") && is_health_path("/replica/x") && !is_health_path("/primaryx/"));
    assert_eq!((ask("/primary/", &primary_node()), ask("/master/x?lag=1", &primary_node())), (200, 200));
}
