//! Faults of the storage, and of a PostgreSQL that lives without serving: each node's data and state lie on a small file system of their
//! own, which is frozen, filled, or broken under it. Each test first proves that its fault took place.

use rustix::process::Signal;
use std::time::{Duration, Instant};
use tanist_tests::{
    cluster::Cluster,
    node::{Node, Options},
    process, rest, sql,
    store::Kind,
    volume::{Volume, in_own_mounts},
    wait,
};

/// The lease, as long as the tests use it.
const TTL: Duration = Duration::from_secs(5);
/// A busy machine may need this much longer than the protocol.
const SLACK: Duration = Duration::from_secs(15);
/// When a write counts as hanging (`tanist.storage.timeout`).
const TIMEOUT: Duration = Duration::from_secs(3);
/// When a file system counts as full (`tanist.storage.minimum_free`).
const MINIMUM: u64 = 32 << 20;
/// Longer than a test may keep anything frozen.
const LONGEST: Duration = Duration::from_secs(90);

/// A cluster and what its nodes lie on.
struct Bench {
    cluster: Cluster,
    volumes: Vec<Volume>,
}

impl Drop for Bench {
    /// Processes first, then what they use, so that the cluster's directory can go at last.
    fn drop(&mut self) {
        for node in self.cluster.nodes.iter_mut().filter(|node| node.is_running()) {
            node.kill();
        }
        self.volumes.iter_mut().for_each(Volume::detach);
    }
}

/// Three nodes, each on a volume of this size.
fn start(megabytes: u64) -> Bench {
    let tanist = vec![format!("storage: {{timeout: {}, minimum_free: {MINIMUM}}}", TIMEOUT.as_secs())];
    let cluster = Cluster::prepare(Kind::Local, 3, &Options { tanist, ..Options::default() });
    let mut bench = Bench { cluster, volumes: Vec::new() };
    for index in 0..3 {
        let volume = volume(&bench.cluster.nodes[index], bench.cluster.place.path(), megabytes);
        bench.volumes.push(volume);
        bench.cluster.nodes[index].start();
    }
    bench.cluster.settled(true);
    bench
}

fn volume(node: &Node, place: &std::path::Path, megabytes: u64) -> Volume {
    let mut volume = Volume::new(place, &format!("volume-{}", node.name), megabytes);
    volume.bind("data", &node.data());
    volume.bind("state", &node.state());
    volume
}

fn own(node: &Node) -> Result<serde_json::Value, String> {
    Ok(node.view()?["tanist"].clone())
}

/// What the node says of its storage.
fn storage(node: &Node) -> Result<String, String> {
    own(node)?["storage"].as_str().map(str::to_owned).ok_or_else(|| "nothing is said".into())
}

fn says(node: &Node, state: &str) -> Duration {
    let since = Instant::now();
    wait::until(&format!("{} says that its storage is {state}", node.name), TIMEOUT + SLACK, || match storage(node)? {
        found if found == state => Ok(()),
        found => Err(found),
    });
    since.elapsed()
}

/// One of the reasons that the node has decided for contains these words.
fn explained(node: &Node, words: &str) {
    let story = rest::json(node.rest, "/explain").expect("its story");
    assert!(story.to_string().contains(words), "`{words}` in {story:#}");
}

#[test]
fn storage_that_hangs() {
    in_own_mounts("storage_that_hangs", || {
        let bench = start(1024);
        under_the_primary(&bench.cluster, &bench.volumes);
        under_the_synchronous_standby(&bench.cluster, &bench.volumes);
    });
}

/// No write of the primary returns, neither to its data directory nor to its state directory: the lease is kept meanwhile, then given up
/// in favour of the standby, and the node stays out of it until its storage answers.
fn under_the_primary(cluster: &Cluster, volumes: &[Volume]) {
    let writer = cluster.writer();
    let (old, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let node = &cluster.nodes[old];
    let agent = node.pids().agent;
    let (fault, since) = (Cluster::now(), Instant::now());
    let mut frozen = volumes[old].freeze(LONGEST);
    // Until it gives way it renews, and answers at once.
    let (mut least, mut slowest) = (u64::MAX, Duration::ZERO);
    let detected = wait::until("the hang is noticed", TIMEOUT + SLACK, || {
        let asked = Instant::now();
        let told = own(node)?;
        slowest = slowest.max(asked.elapsed());
        if told["lease"] == "mine" {
            least = least.min(told["lease_left_ms"].as_u64().unwrap_or(0));
        }
        if told["storage"] == "broken" { Ok(since.elapsed()) } else { Err(told["storage"].to_string()) }
    });
    assert!(detected >= TIMEOUT - Duration::from_secs(1), "noticed too early: {detected:?}");
    let new = cluster.next_primary(old, TTL + SLACK);
    let taken = since.elapsed();
    frozen.hangs().expect("the storage hangs still");
    let held: Vec<_> = node.postgres_processes().into_iter().filter(|process| process.state == 'D').collect();
    println!(
        "  noticed after {detected:?}, taken over after {taken:?}; least left of the lease {least} ms, slowest answer {slowest:?}, \
         {} processes in uninterruptible sleep",
        held.len()
    );
    assert!(least > 2000, "renewals were late: {least} ms were left of the lease");
    assert!(slowest < Duration::from_secs(1), "an answer took {slowest:?}");
    explained(node, "the storage hangs");
    explained(node, "giving up the lease");
    // It stays out for as long as it hangs, and its agent lives.
    let until = Cluster::now() + TTL.as_nanos() as u64;
    wait::until("a lease has passed", TTL * 2, || if Cluster::now() > until { Ok(()) } else { Err("not yet".into()) });
    assert_eq!(cluster.primary(), Ok(new), "the new primary stays");
    assert_eq!((node.pids().agent, storage(node)), (agent, Ok("broken".into())), "the agent lives and says why");
    frozen.hangs().expect("the storage hangs still");
    drop(frozen);
    says(node, "good");
    assert_eq!(cluster.settled(true), new, "the node follows when its storage answers");
    assert!(cluster.epoch() > epoch);
    let notes = cluster.verdict(writer, true);
    println!("  write gap, storage of the primary hangs: {:?}", notes.gap_after(fault));
}

/// The synchronous standby can acknowledge nothing, although its connection lives: another one is chosen.
fn under_the_synchronous_standby(cluster: &Cluster, volumes: &[Volume]) {
    let writer = cluster.writer();
    let (leader, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    let standby = cluster.named_standby().expect("a standby");
    let fault = Cluster::now();
    let mut frozen = volumes[standby].freeze(LONGEST);
    let other = wait::until("another standby is named", TIMEOUT + SLACK, || match cluster.named_standby()? {
        found if found == standby => Err("still the one that hangs".into()),
        found => Ok(found),
    });
    writer.writes_again(SLACK);
    frozen.hangs().expect("the storage hangs still");
    assert_eq!(storage(&cluster.nodes[standby]), Ok("broken".into()));
    assert_eq!((cluster.primary(), cluster.epoch()), (Ok(leader), epoch), "no failover");
    drop(frozen);
    let notes = cluster.verdict(writer, true);
    println!("  write gap, storage of the standby hangs, {} chosen: {:?}", cluster.nodes[other].name, notes.gap_after(fault));
}

#[test]
fn storage_that_is_full() {
    in_own_mounts("storage_that_is_full", || {
        let bench = start(768);
        to_a_node_with_room(&bench.cluster, &bench.volumes);
        nobody_has_room(&bench.cluster, &bench.volumes);
    });
}

/// The primary runs out of room: it hands over to a node that has some, and is not chosen while it has none.
fn to_a_node_with_room(cluster: &Cluster, volumes: &[Volume]) {
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let (fault, since) = (Cluster::now(), Instant::now());
    volumes[old].fill(8 << 20);
    let new = cluster.next_primary(old, TTL + SLACK);
    println!("  full: handed over after {:?}", since.elapsed());
    explained(&cluster.nodes[old], "which has room, takes over");
    assert!(volumes[old].room() < MINIMUM, "still full");
    assert_eq!(storage(&cluster.nodes[old]), Ok("full".into()));
    // Not back: a switchover to it is refused, and the named standby is the one with room.
    let third = (0..3).find(|index| *index != old && *index != new).expect("a third node");
    wait::until("the standby with room is named", SLACK, || match cluster.named_standby()? {
        found if found == third => Ok(()),
        found => Err(cluster.nodes[found].name.clone()),
    });
    let notes = cluster.verdict(writer, true);
    println!("  write gap, primary full: {:?}", notes.gap_after(fault));
    let epoch = cluster.epoch();
    let since = Instant::now();
    // To the last byte: PostgreSQL itself may fall over before anybody else acts.
    volumes[new].fill(0);
    cluster.next_primary(new, TTL + SLACK);
    println!("  full to the last byte: handed over after {:?}", since.elapsed());
    assert!(cluster.epoch() > epoch);
    assert_eq!(cluster.primary(), Ok(third), "the only one with room leads");
    volumes[new].empty();
    says(&cluster.nodes[new], "good");
}

/// Every node is full: the primary stays and says so, and nothing changes hands to and fro.
fn nobody_has_room(cluster: &Cluster, volumes: &[Volume]) {
    cluster.settled(true);
    let (leader, epoch) = (cluster.primary().expect("a primary"), cluster.epoch());
    // The others first, so that the primary has nobody to hand over to.
    for index in (0..3).filter(|index| *index != leader).chain([leader]) {
        // Room for a segment of WAL: a PostgreSQL that has none ends by itself.
        volumes[index].fill(24 << 20);
        says(&cluster.nodes[index], "full");
    }
    let until = Cluster::now() + 2 * TTL.as_nanos() as u64;
    wait::until("two leases have passed", TTL * 3, || if Cluster::now() > until { Ok(()) } else { Err("not yet".into()) });
    assert_eq!((cluster.primary(), cluster.epoch()), (Ok(leader), epoch), "nothing has changed hands");
    explained(&cluster.nodes[leader], "nobody else could lead");
    // The leader first: one that has no room hands over as soon as somebody else has some.
    for index in [leader].into_iter().chain((0..3).filter(|index| *index != leader)) {
        volumes[index].empty();
        says(&cluster.nodes[index], "good");
    }
    assert_eq!((cluster.settled(true), cluster.epoch()), (leader, epoch), "nothing has changed hands");
    cluster.verdict(cluster.writer(), true);
}

/// The kernel takes no more writes: noticed, given up, and the node is made anew when it has another disk.
#[test]
fn storage_that_turns_read_only() {
    in_own_mounts("storage_that_turns_read_only", || {
        let bench = start(768);
        let (cluster, volumes) = (&bench.cluster, &bench.volumes);
        let writer = cluster.writer();
        let old = cluster.primary().expect("a primary");
        let since = Instant::now();
        volumes[old].break_down();
        let new = cluster.next_primary(old, TTL + SLACK);
        println!("  read-only: taken over after {:?}", since.elapsed());
        writer.writes_again(SLACK);
        says(&cluster.nodes[old], "broken");
        explained(&cluster.nodes[old], "ead-only");
        assert_eq!(cluster.primary(), Ok(new));
        let notes = writer.finish();
        let rows = sql::query(cluster.nodes[new].postgres, "SELECT n FROM counted").expect("the rows");
        let found: std::collections::BTreeSet<i64> = rows.into_iter().filter_map(|row| row[0].parse().ok()).collect();
        let lost: Vec<_> = notes.acknowledged().difference(&found).copied().collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert_eq!(notes.overlap(), Duration::ZERO, "two nodes acknowledged in turns");
    });
}

/// A postmaster that stands still: its sessions go on, nobody new is served. And one whose connections are all in use, which is no reason
/// for anything.
#[test]
fn a_server_that_serves_nobody_new() {
    let cluster = Cluster::start(Kind::Local, 3, &Options::default());
    connections_used_up(&cluster);
    postmaster_stands_still(&cluster);
}

fn connections_used_up(cluster: &Cluster) {
    let (leader, epoch, fault) = (cluster.primary().expect("a primary"), cluster.epoch(), Cluster::now());
    let node = &cluster.nodes[leader];
    // A session that stands still and holds nothing is nobody's trouble but its own.
    let standing = sql::hold(node.postgres, "SET application_name TO 'standing'").expect("a session");
    let pid = sql::value(node.postgres, "SELECT pid FROM pg_stat_activity WHERE application_name = 'standing'").expect("its pid");
    let backend: i32 = pid.parse().expect("a pid");
    process::signal(backend, Signal::STOP);
    let mut hogs = Vec::new();
    // As the superuser: also those connections that are kept for him.
    wait::until("no connection is left", SLACK, || match sql::hold(node.postgres, "SELECT 1") {
        Ok(held) => {
            hogs.push(held);
            Err(format!("{} are open", hogs.len()))
        }
        Err(error) if error.contains("53300") || error.contains("too many clients") => Ok(()),
        Err(error) => Err(error),
    });
    assert!(hogs.len() > 40, "{} connections filled it", hogs.len());
    wait::until("the node says so", TTL + SLACK, || {
        let said = own(node)?["postgresql_error"].to_string();
        if said.contains("no connection is left") { Ok(()) } else { Err(said) }
    });
    let until = fault + 3 * TTL.as_nanos() as u64;
    wait::until("three leases have passed", TTL * 4, || if Cluster::now() > until { Ok(()) } else { Err("not yet".into()) });
    assert_eq!((cluster.primary(), cluster.epoch()), (Ok(leader), epoch), "no failover");
    assert_eq!(process::look(backend).map(|found| found.state), Some('T'), "the backend stood all the while");
    process::thaw(backend);
    drop((hogs, standing));
    wait::until("the node says nothing any more", TTL + SLACK, || match own(node)?["postgresql_error"].as_str() {
        None => Ok(()),
        Some(said) => Err(said.to_owned()),
    });
    cluster.verdict(cluster.writer(), true);
}

fn postmaster_stands_still(cluster: &Cluster) {
    let writer = cluster.writer();
    let old = cluster.primary().expect("a primary");
    let node = &cluster.nodes[old];
    let held = sql::hold(node.postgres, "SELECT 1").expect("a session");
    let postmaster = node.pids().postmaster.expect("a postmaster");
    let (fault, since) = (Cluster::now(), Instant::now());
    process::signal(postmaster, Signal::STOP);
    wait::until("it stands still", Duration::from_secs(2), || match process::look(postmaster).map(|found| found.state) {
        Some('T') => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(sql::value(node.postgres, "SELECT 1").is_err(), "nobody new is served");
    let address = node.postgres.ip().to_string();
    wait::until("sessions that were open go on", Duration::from_secs(3), || {
        let served = writer.so_far().nodes_after(fault + 1_000_000_000);
        if served.contains_key(&address) { Ok(()) } else { Err(format!("{served:?}")) }
    });
    let new = cluster.next_primary(old, TTL + TTL + SLACK);
    println!("  postmaster stands still: taken over after {:?}", since.elapsed());
    explained(node, "does not answer new sessions");
    drop(held);
    assert_eq!(cluster.settled(true), new, "the old primary follows");
    let notes = cluster.verdict(writer, true);
    println!("  write gap, postmaster stands still: {:?}", notes.gap_after(fault));
}
