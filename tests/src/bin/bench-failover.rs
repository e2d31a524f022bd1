//! `bench-failover [RUNS]`: how long a client waits, on this machine, for each planned and unplanned change of the primary.
//!
//! Not a test: nothing is asserted but that no acknowledged row was lost; a row with a loss gets no median. Three nodes, ttl 5, a client
//! writing every 10 ms over sessions it keeps; where nothing else is said, the embedded store and synchronous mode.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tanist_tests::{
    bench::{circumstances, spread},
    cluster::Cluster,
    named::{Named, RECORD},
    node::Options,
    process,
    record::RecordWatch,
    rest, sql,
    store::Kind,
    writer::{Notes, Writer},
};

const NAME: &str = "primary.e2e.db.example";

fn main() {
    let runs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5_usize);
    let mut table = Table::default();
    for run in 1..=runs {
        println!("run {run} of {runs}");
        one_run(&mut table);
        restart_in_place(&mut table);
        store_away(&mut table);
    }
    println!("\n{}, milliseconds", circumstances());
    table.print();
}

/// All faults once, on a cluster of its own.
fn one_run(table: &mut Table) {
    let named = Named::start();
    let mut cluster = Cluster::start(Kind::Local, 3, &Options { plugins: named.plugin(), ..Options::default() });
    table.named = Some(named.address);
    std::thread::sleep(Duration::from_secs(5));
    memory(&cluster, table);
    table.add_gap("switchover, write gap", &mut cluster, |cluster, old| {
        let candidate = cluster.named_standby().expect("a standby");
        let body = format!(r#"{{"leader":"{}","candidate":"{}"}}"#, cluster.nodes[old].name, cluster.nodes[candidate].name);
        let (code, text) = rest::request("POST", cluster.nodes[old].rest, "/switchover", &body).expect("an answer");
        assert_eq!(code, 200, "{text}");
    });
    table.add_gap("postmaster killed, write gap", &mut cluster, |cluster, old| {
        process::kill(cluster.nodes[old].pids().postmaster.expect("a postmaster"));
    });
    table.add_gap("node gone (ttl 5), write gap", &mut cluster, |cluster, old| cluster.nodes[old].kill());
    agent_kill(&cluster, table);
}

/// An agent that is killed: failed writes on the primary, and the gap.
fn agent_kill(cluster: &Cluster, table: &mut Table) {
    let writer = cluster.writer();
    let leader = cluster.primary().expect("a primary");
    let fault = Cluster::now();
    process::kill(cluster.nodes[leader].pids().agent);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(cluster.primary(), Ok(leader), "the same leader");
    let notes = writer.finish();
    let node = cluster.nodes[leader].postgres.ip().to_string();
    let failed = notes.0.iter().filter(|note| note.at > fault && note.node == node && note.word != "ack").count();
    table.put("agent killed, failed writes", failed as f64);
    table.put("agent killed, write gap", millis(notes.gap_after(fault)));
}

/// An asynchronous primary whose postmaster is killed is started again where it is.
fn restart_in_place(table: &mut Table) {
    let cluster = Cluster::start(Kind::Local, 3, &Options { synchronous: false, ..Options::default() });
    std::thread::sleep(Duration::from_secs(5));
    table.add_gap_in_place("postmaster killed, asynchronous, write gap", &cluster, |leader| {
        process::kill(cluster.nodes[leader].pids().postmaster.expect("a postmaster"));
    });
}

/// All etcd members stand still for 40 s, in failsafe mode.
fn store_away(table: &mut Table) {
    let cluster = Cluster::start(Kind::Etcd, 3, &Options { failsafe: true, ..Options::default() });
    // So long at most until the lease names all members.
    std::thread::sleep(Duration::from_secs(10));
    let members: Vec<i32> = cluster.store.members.iter().map(|member| member.pid()).collect();
    table.add_gap_in_place("etcd away for 40 s, failsafe mode, write gap", &cluster, |_| {
        members.iter().for_each(|pid| process::freeze(*pid));
        std::thread::sleep(Duration::from_secs(40));
        members.iter().for_each(|pid| process::thaw(*pid));
    });
}

/// Resident memory of the idle programs, in KiB.
fn memory(cluster: &Cluster, table: &mut Table) {
    let pids = cluster.nodes[cluster.primary().expect("a primary")].pids();
    let field = |pid: i32, name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    table.put("idle guard, locked memory (KiB)", field(pids.guard, "VmLck"));
    table.put("idle agent, resident memory (KiB)", field(pids.agent, "VmRSS"));
    table.put("idle plugin host, resident memory (KiB)", field(pids.plugin_host.expect("a plugin host"), "VmRSS"));
}

#[derive(Default)]
struct Table {
    rows: Vec<(String, Vec<f64>)>,
    lost: usize,
    /// The BIND whose record the bundled plugin moves.
    named: Option<SocketAddr>,
}

impl Table {
    fn put(&mut self, name: &str, value: f64) {
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.rows.push((name.to_owned(), vec![value])),
        }
    }

    /// One fault: the longest time between two acknowledged writes, and how long after the first one on the new primary its name
    /// followed.
    fn add_gap(&mut self, name: &str, cluster: &mut Cluster, fault: impl FnOnce(&mut Cluster, usize)) {
        let writer = cluster.writer();
        let old = cluster.primary().expect("a primary");
        let others = (0..cluster.nodes.len()).filter(|node| *node != old);
        let own: Vec<RecordWatch> = others.map(|node| RecordWatch::start(cluster.nodes[node].dns, NAME)).collect();
        let bind = [RecordWatch::start(self.named.expect("BIND runs"), RECORD)];
        let before = Cluster::now();
        fault(cluster, old);
        let new = cluster.next_primary(old, Duration::from_secs(60));
        std::thread::sleep(Duration::from_secs(1));
        let address = cluster.nodes[new].postgres.ip();
        let notes = self.finish(writer, cluster, new);
        self.put(name, millis(notes.gap_after(before)));
        let acknowledged = notes.of("ack").filter(|note| note.at > before && note.node == address.to_string());
        if let Some(first) = acknowledged.map(|note| note.at).min() {
            self.put("own DNS answer after the first write", name_after(&own, address, before, first));
            self.put("record in BIND after the first write", name_after(&bind, address, before, first));
        }
        for node in &mut cluster.nodes {
            if !node.is_running() {
                node.start();
            }
        }
        cluster.settled(true);
    }

    /// One fault that no other node takes over after: the longest time between two acknowledged writes.
    fn add_gap_in_place(&mut self, name: &str, cluster: &Cluster, fault: impl FnOnce(usize)) {
        let (writer, leader) = (cluster.writer(), cluster.primary().expect("a primary"));
        let before = Cluster::now();
        fault(leader);
        std::thread::sleep(Duration::from_secs(5));
        let notes = self.finish(writer, cluster, leader);
        self.put(name, millis(notes.gap_after(before)));
    }

    fn finish(&mut self, writer: Writer, cluster: &Cluster, primary: usize) -> Notes {
        let notes = writer.finish();
        let rows = sql::query(cluster.nodes[primary].postgres, "SELECT n FROM counted").expect("the rows");
        let found: std::collections::BTreeSet<i64> = rows.into_iter().filter_map(|row| row[0].parse().ok()).collect();
        self.lost += notes.acknowledged().difference(&found).count();
        notes
    }

    fn print(&self) {
        println!("{:44} {:>3} {:>9} {:>9} {:>9}", "", "n", "min", "median", "max");
        for (name, values) in &self.rows {
            let (least, middle, most) = spread(values.clone());
            let median = if self.lost == 0 { format!("{middle:9.1}") } else { format!("{:>9}", "lost rows") };
            println!("{name:44} {:>3} {least:9.1} {median} {most:9.1}", values.len());
        }
        println!("acknowledged rows lost: {}", self.lost);
    }
}

/// Milliseconds from the first write on the new primary until every server named it; below zero: before it.
fn name_after(watches: &[RecordWatch], address: IpAddr, from: u64, first_write: u64) -> f64 {
    let first = |watch: &RecordWatch| {
        let changes = watch.changes().into_iter();
        changes.filter(|(at, found)| *at > from && *found == [address]).map(|(at, _)| at).next()
    };
    let moved: Vec<u64> = watches.iter().filter_map(first).collect();
    if moved.len() < watches.len() {
        return f64::NAN;
    }
    let last = moved.into_iter().max().unwrap_or(u64::MAX);
    (last as f64 - first_write as f64) / 1e6
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}
