//! The wall clock of every agent jumps by two hours, there and back, under a leader and a writing client: no lease is counted by it.
//!
//! libfaketime turns it, from a file that is read anew at each look. What that reaches: everything that the agent and the plugin host ask
//! of libc, which is the wall clock. Not reached: boot time and the raw clock, which the agent reads by system calls of its own and the
//! statically linked guard likewise, and PostgreSQL, which is started with an environment of its own.

use std::{path::PathBuf, time::Duration};
use tanist_tests::{
    cluster::Cluster,
    node::{Node, Options},
    place, rest,
    store::Kind,
    wait,
};

const SLACK: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(5);

fn library() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let found = found.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.is_file());
    found.expect("libfaketime is missing: run scripts/need faketime first (make test does)")
}

/// The year, month, day and hour at which this agent says that its newest decision was taken, in hours.
fn hours_ahead(node: &Node) -> Result<i64, String> {
    let (_, story) = rest::request("GET", node.rest, "/explain", "")?;
    let story: serde_json::Value = serde_json::from_str(&story).map_err(|error| error.to_string())?;
    let lines = story.as_array().or_else(|| story["lines"].as_array()).ok_or_else(|| story.to_string())?;
    let told = lines.last().and_then(|line| line["wall_ms"].as_i64()).ok_or_else(|| story.to_string())?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(|error| error.to_string())?;
    Ok((told - i64::try_from(now.as_millis()).map_err(|error| error.to_string())? + 1_800_000).div_euclid(3_600_000))
}

#[test]
fn the_wall_clock_jumps_and_nobody_notices() {
    let mut cluster = Cluster::prepare(Kind::Etcd, 3, &Options::default());
    let turned = cluster.place.path().join("wall-clock");
    std::fs::write(&turned, "+0").expect("the clock's file");
    place::open_to_all(&turned);
    for node in &mut cluster.nodes {
        for (name, value) in [
            ("LD_PRELOAD", library().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", turned.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ] {
            node.set_environment(name, &value);
        }
        node.start();
    }
    cluster.settled(true);
    let writer = cluster.writer();
    let (primary, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let pids: Vec<i32> = cluster.nodes.iter().map(|node| node.pids().agent).collect();
    // With each jump something to decide, so that there is a line with the time of the jump.
    for (hours, count) in [(2, 2), (-2, 1), (0, 2)] {
        std::fs::write(&turned, format!("{hours:+}h")).expect("the clock's file");
        let begun = Cluster::now();
        let change = format!(r#"{{"synchronous_node_count": {count}}}"#);
        assert_eq!(rest::request("PATCH", cluster.nodes[primary].rest, "/config", &change).expect("an answer").0, 200);
        wait::until(&format!("the primary's agent lives {hours} h from now"), SLACK, || {
            match hours_ahead(&cluster.nodes[primary])? {
                ahead if ahead == hours => Ok(()),
                other => Err(other.to_string()),
            }
        });
        wait::until("two leases have passed since", TTL * 4, || {
            assert_eq!((cluster.primary(), cluster.epoch()), (Ok(primary), epoch), "the same leader");
            if Cluster::now() - begun > 2 * TTL.as_nanos() as u64 { Ok(()) } else { Err("not yet".into()) }
        });
        writer.writes_again(SLACK);
    }
    let now: Vec<i32> = cluster.nodes.iter().map(|node| node.pids().agent).collect();
    assert_eq!(now, pids, "the same agents");
    cluster.verdict(writer, true);
}
