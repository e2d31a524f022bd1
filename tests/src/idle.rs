//! What a cluster costs while nothing happens: memory and computing time of the programs that manage it, and requests to the store.

use crate::{process, rest, store::Store, subject::Subject};
use std::{net::SocketAddr, time::Duration};

/// What was used while nobody did anything.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Resident memory of the leader's agent, MiB.
    pub resident: f64,
    /// Computing time of everything that manages the leader's PostgreSQL (agent, and guard and plugin host where there are any), in per
    /// cent of one core.
    pub computing: f64,
    /// Requests that the store handled for the whole cluster, a minute.
    pub requests: f64,
}

impl Idle {
    /// Watches a settled cluster for so long.
    pub fn of(subject: &dyn Subject, span: Duration) -> Self {
        let leader = subject.settle();
        let managers = subject.managers(leader);
        let before = (ticks(&managers), requests(subject.store()));
        std::thread::sleep(span);
        let after = (ticks(&managers), requests(subject.store()));
        let seconds = span.as_secs_f64();
        Self {
            resident: resident_kib(subject.agent(leader)) / 1024.0,
            computing: (after.0 - before.0) / TICKS_A_SECOND / seconds * 100.0,
            requests: (after.1 - before.1) / seconds * 60.0,
        }
    }
}

/// `sysconf(_SC_CLK_TCK)` on every Linux of today.
const TICKS_A_SECOND: f64 = 100.0;

/// Clock ticks in user and system mode so far (proc(5), fields 14 and 15 of stat).
fn ticks(pids: &[i32]) -> f64 {
    let of = |pid: &i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = text.rsplit_once(')').map_or("", |(_, tail)| tail).split_whitespace();
        fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
    };
    pids.iter().map(of).sum()
}

fn resident_kib(pid: i32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).map(str::to_owned);
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(f64::NAN)
}

/// What etcd's members have handled for clients: calls over gRPC that ended, and messages that came over streams (renewals of
/// leases are such). Patroni's JSON gateway is a gRPC client of its member, so it is counted alike.
fn requests(store: &Store) -> f64 {
    let told = |client: &SocketAddr| rest::request("GET", *client, "/metrics", "").map_or(String::new(), |(_, body)| body);
    let wanted = |line: &&str| {
        line.starts_with("grpc_server_handled_total{") && line.contains(r#"grpc_type="unary""#)
            || line.starts_with("grpc_server_msg_received_total{") && line.contains(r#"grpc_type="bidi_stream""#)
    };
    let count =
        |body: String| body.lines().filter(wanted).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
    store.addresses().iter().map(|client| count(told(client))).sum()
}

/// The processes below `root` that manage PostgreSQL and are not PostgreSQL.
pub fn managers_below(root: i32) -> Vec<i32> {
    process::tree(root).into_iter().filter(|process| process.name != "postgres").map(|process| process.pid).collect()
}
