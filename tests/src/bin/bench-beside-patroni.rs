//! `bench-beside-patroni [RUNS]`: the same faults on tanist (ttl 5) and on Patroni at its fastest (ttl 20), in turns, on the same hosts,
//! with the same PostgreSQL, three etcd members and the same client writing every 10 ms to every node that accepts.
//!
//! Not a test: it only measures. A row in which an acknowledged write was lost gets no median. Needs root, for network namespaces.

use std::{collections::BTreeSet, time::Duration};
use tanist_tests::{
    bench::{circumstances, spread},
    cluster::Cluster,
    idle::Idle,
    net::as_root_program,
    node::Options,
    patroni::Patroni,
    process, sql,
    subject::Subject,
    wait,
    writer::{Notes, Writer},
};

fn main() {
    as_root_program(|| {
        let runs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5_usize);
        let (mut ours, mut theirs) = (Table::default(), Table::default());
        for run in 1..=runs {
            println!("run {run} of {runs}: tanist");
            measure(&mut Cluster::on_hosts(&Options::default()), &mut ours);
            without_standby(&mut Cluster::on_hosts(&Options { synchronous: false, ..Options::default() }), &mut ours);
            println!("run {run} of {runs}: Patroni");
            measure(&mut Patroni::start(true), &mut theirs);
            without_standby(&mut Patroni::start(false), &mut theirs);
        }
        println!("\n{}", circumstances());
        println!(
            "{:44} {:>3} {:>9} {:>9} {:>9} {:>8} {:>11}",
            "write gap, ms", "n", "min", "median", "max", "lost", "overlap ms"
        );
        ours.print("tanist");
        theirs.print("Patroni");
        println!("\n{:44} {:>3} {:>9} {:>9} {:>9}", "idle, synchronous mode", "n", "min", "median", "max");
        ours.print_idle("tanist");
        theirs.print_idle("Patroni");
    });
}

/// All faults, once each, in synchronous mode.
fn measure(subject: &mut dyn Subject, table: &mut Table) {
    table.idle.push(Idle::of(subject, Duration::from_secs(30)));
    table.fault("switchover", subject, Moves::Away, |subject, old| subject.switch_over(old));
    table.fault("postmaster killed", subject, Moves::Perhaps, |subject, old| process::kill(subject.postmaster(old)));
    table.fault("node gone", subject, Moves::Away, |subject, old| subject.kill_node(old));
    table
        .fault("host silent, store's leader elsewhere", subject, Moves::Away, |subject, old| silent(subject, old, (old + 1) % 3));
    table.fault("host silent, store's leader on it", subject, Moves::Away, |subject, old| silent(subject, old, old));
    table.fault("agent killed", subject, Moves::Not, |subject, old| process::kill(subject.agent(old)));
    table.fault("agent frozen", subject, Moves::Not, |subject, old| process::freeze(subject.agent(old)));
    table.fault("store's leader killed", subject, Moves::Not, |subject, _| {
        let leader = subject.store().leader();
        subject.store_mut().members[leader].kill();
    });
}

/// The host of a node no longer sends or receives anything, an etcd member on it no more than a PostgreSQL.
fn silent(subject: &mut dyn Subject, node: usize, store_leader: usize) {
    subject.store().lead(store_leader);
    subject.place().net().wire.isolate(u8::try_from(node + 1).expect("a small number"));
}

/// Whether a fault moves the primary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moves {
    Away,
    /// A restart in place is an answer, too.
    Perhaps,
    /// It need not; but it may be frozen past its lease.
    Not,
}

/// The agent away in asynchronous mode: whatever a second primary acknowledges is lost.
fn without_standby(subject: &mut dyn Subject, table: &mut Table) {
    std::thread::sleep(Duration::from_secs(3));
    table.fault("agent killed, asynchronous", subject, Moves::Not, |subject, old| process::kill(subject.agent(old)));
    table.fault("agent frozen, asynchronous", subject, Moves::Not, |subject, old| process::freeze(subject.agent(old)));
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    idle: Vec<Idle>,
}

struct Row {
    name: &'static str,
    gaps: Vec<f64>,
    lost: usize,
    overlap: Duration,
}

impl Table {
    /// One fault, its repair, and what the client was told meanwhile.
    fn fault(
        &mut self,
        name: &'static str,
        subject: &mut dyn Subject,
        moves: Moves,
        fault: impl FnOnce(&mut dyn Subject, usize),
    ) {
        let old = subject.settle();
        let writer = subject.client(old);
        // A random part of whatever period the agents have.
        std::thread::sleep(Duration::from_millis(Cluster::now() % 1_000));
        let before = Cluster::now();
        fault(subject, old);
        if moves == Moves::Not {
            std::thread::sleep(subject.away());
        } else {
            wait::until(name, Duration::from_secs(120), || match subject.leader()? {
                leader if leader == old && moves == Moves::Away => Err("still the old one".into()),
                _ => Ok(()),
            });
            writer.writes_again(Duration::from_secs(60));
        }
        std::thread::sleep(Duration::from_secs(1));
        let gap = writer.so_far().gap_after(before);
        subject.place().net().wire.mend();
        subject.store_mut().up();
        subject.bring_back();
        let primary = subject.settle();
        self.put(name, gap, writer, subject, primary);
    }

    fn put(&mut self, name: &'static str, gap: Duration, writer: Writer, subject: &dyn Subject, primary: usize) {
        let notes: Notes = writer.finish();
        let rows = sql::query(subject.databases()[primary], "SELECT n FROM counted").expect("the rows");
        let found: BTreeSet<i64> = rows.into_iter().filter_map(|row| row[0].parse().ok()).collect();
        let (lost, overlap) = (notes.acknowledged().difference(&found).count(), notes.overlap());
        println!("  {name}: gap {gap:?}, lost {lost}, overlap {overlap:?}");
        let index = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name, gaps: Vec::new(), lost: 0, overlap: Duration::ZERO });
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        row.gaps.push(gap.as_secs_f64() * 1_000.0);
        row.lost += lost;
        row.overlap = row.overlap.max(overlap);
    }

    fn print_idle(&self, who: &str) {
        type Column = (&'static str, fn(&Idle) -> f64);
        let columns: [Column; 3] = [
            ("agent resident, MiB", |idle| idle.resident),
            ("all but PostgreSQL, % of a core", |idle| idle.computing),
            ("store requests a minute, cluster", |idle| idle.requests),
        ];
        for (name, value) in columns {
            let (least, middle, most) = spread(self.idle.iter().map(value).collect());
            println!("{:44} {:>3} {least:9.2} {middle:9.2} {most:9.2}", format!("{who}: {name}"), self.idle.len());
        }
    }

    fn print(&self, who: &str) {
        for row in &self.rows {
            let (least, middle, most) = spread(row.gaps.clone());
            let median = if row.lost == 0 { format!("{middle:9.1}") } else { format!("{:>9}", "lost rows") };
            let name = format!("{who}: {}", row.name);
            let overlap = row.overlap.as_secs_f64() * 1_000.0;
            println!("{name:44} {:>3} {least:9.1} {median} {most:9.1} {:>8} {overlap:>11.0}", row.gaps.len(), row.lost);
        }
    }
}
