//! Real processes, killed with SIGKILL at random instants of many role changes: the plugin hears of roles in their order, of each that
//! lasts, and at the end of the newest.

use crate::bench::{example, wait};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const CHANGES: u64 = 60;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

struct Node {
    directory: PathBuf,
    agent: Child,
    agents: u64,
    hosts_killed: u64,
}

impl Node {
    fn start(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), agent: agent(directory), agents: 1, hosts_killed: 0 }
    }

    fn change(&mut self, epoch: u64) {
        let words = format!("{} {epoch}", if epoch % 2 == 1 { "primary" } else { "replica" });
        fs::write(self.directory.join("world.new"), &words).unwrap();
        fs::rename(self.directory.join("world.new"), self.directory.join("world")).unwrap();
        writeln!(self.agent.stdin.as_mut().unwrap(), "{words}").unwrap();
    }

    fn host(&self) -> Option<Pid> {
        let agent = self.agent.id();
        let children = fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).ok()?;
        let direct = children.split_whitespace().next().map(str::to_owned);
        // A child belongs to the thread that started it: the broker's.
        let of_threads = || {
            let tasks = fs::read_dir(format!("/proc/{agent}/task")).ok()?;
            tasks.flatten().find_map(|task| {
                let children = fs::read_to_string(task.path().join("children")).ok()?;
                children.split_whitespace().next().map(str::to_owned)
            })
        };
        Pid::from_raw(direct.or_else(of_threads)?.parse().ok()?)
    }

    fn kill_host(&mut self) {
        let Some(host) = self.host() else { return };
        self.hosts_killed += u64::from(kill_process(host, Signal::KILL).is_ok());
    }

    /// Its host ends by itself, and before the next agent, as what it still does has no effect any more.
    fn kill_agent(&mut self) {
        let host = self.host();
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
        if let Some(host) = host {
            wait("the host to end", || gone(host).then_some(()));
        }
        self.agent = agent(&self.directory);
        self.agents += 1;
    }

    /// Action, epoch and sequence number of every call.
    fn called(&self) -> Vec<(u64, u64)> {
        let text = fs::read_to_string(self.directory.join("calls")).unwrap_or_default();
        let parse = |line: &str| {
            let mut parts = line.split(' ').nth(1)?.split('/');
            let epoch = parts.nth(1)?.parse().ok()?;
            Some((epoch, parts.nth(2)?.parse().ok()?))
        };
        text.lines().filter_map(parse).collect()
    }

    /// Whether the plugin knows the role of this epoch: it was told so, or it was told the same role before and the agent died before it
    /// had noted the one between. Then nothing has changed for the plugin, and the journal says that nothing is owed.
    fn knows(&self, epoch: u64) -> bool {
        let called = self.called();
        let told = called.iter().any(|(told, _)| *told == epoch);
        told || called.last().is_none_or(|(told, _)| told % 2 == epoch % 2) && self.owes_nothing(epoch)
    }

    fn owes_nothing(&self, epoch: u64) -> bool {
        let journal = fs::read_to_string(self.directory.join("journal/vip.journal")).unwrap_or_default();
        journal.contains(r#""pending":[]"#) && journal.contains(&format!(r#","epoch":{epoch}}}}}"#))
    }
}

/// Whether a process is dead; a zombie that nobody reaped yet is.
fn gone(pid: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_err() || state.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'))
}

impl Drop for Node {
    fn drop(&mut self) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
    }
}

fn agent(directory: &Path) -> Child {
    Command::new(example("fake_agent"))
        .env("FAKE_AGENT_DIR", directory)
        .env("FAKE_AGENT_HOST", example("fake_host"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn role_changes_survive_kills_of_agent_and_host_at_random_instants() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let (mut random, directory) = (Random(seed), tempfile::tempdir().unwrap());
    let mut node = Node::start(directory.path());
    let mut lasting = 0;
    for epoch in 1..=CHANGES {
        node.change(epoch);
        thread::sleep(Duration::from_micros(random.below(8_000)));
        match random.below(5) {
            0 | 1 => node.kill_agent(),
            2 => node.kill_host(),
            _ => {}
        }
        if random.below(2) == 0 || epoch == CHANGES {
            lasting += 1;
            wait("a role that lasts to be told", || node.knows(epoch).then_some(()));
        }
    }
    let called = node.called();
    let in_order = |of: fn(&(u64, u64)) -> u64| called.windows(2).all(|pair| of(&pair[0]) <= of(&pair[1]));
    assert!(in_order(|call| call.0) && in_order(|call| call.1), "an older role after a newer: {called:?}");
    assert!(node.knows(CHANGES), "the newest role wins: {called:?}");
    let (agents, hosts) = (node.agents, node.hosts_killed);
    println!(
        "{CHANGES} role changes, {lasting} of them waited for; {agents} agents, {hosts} hosts killed; {} calls",
        called.len()
    );
    assert!(agents > 10 && hosts > 2, "hardly anybody was killed: {agents} agents, {hosts} hosts");
}
