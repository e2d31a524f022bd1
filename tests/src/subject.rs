//! What the benchmark does to a cluster, whoever manages it: ours or Patroni's.

use crate::{
    cluster::Cluster,
    idle,
    place::Place,
    process, rest, sql,
    store::Store,
    wait,
    writer::{TABLE, Writer},
};
use std::{net::SocketAddr, time::Duration};

/// A cluster of three nodes that can be hurt and measured.
pub trait Subject {
    /// Its corner of the machine.
    fn place(&self) -> &Place;
    /// Its store.
    fn store(&self) -> &Store;
    /// Its store, to be hurt.
    fn store_mut(&mut self) -> &mut Store;
    /// Where its databases listen.
    fn databases(&self) -> Vec<SocketAddr>;
    /// Where its REST APIs listen.
    fn apis(&self) -> Vec<SocketAddr>;
    /// The names of its nodes.
    fn names(&self) -> Vec<String>;
    /// Waits until there is one primary and all others stream, in synchronous mode with a standby named; gives the primary.
    fn settle(&self) -> usize;
    /// The process that decides on a node.
    fn agent(&self, node: usize) -> i32;
    /// Every process that manages a node's PostgreSQL.
    fn managers(&self, node: usize) -> Vec<i32>;
    /// The postmaster of a node.
    fn postmaster(&self, node: usize) -> i32;
    /// Every process of a node, gone at once.
    fn kill_node(&mut self, node: usize);
    /// Starts again what was killed, and continues what was frozen.
    fn bring_back(&mut self);
    /// How long its agent has to be away for its lease to have ended and a successor to have had time.
    fn away(&self) -> Duration;

    /// The one node that says it is primary.
    fn leader(&self) -> Result<usize, String> {
        let apis = self.apis();
        let found: Vec<usize> = (0..apis.len()).filter(|node| rest::status(apis[*node], "/primary") == 200).collect();
        match found[..] {
            [only] => Ok(only),
            _ => Err(format!("{found:?} say primary")),
        }
    }

    /// The synchronous standby.
    fn standby(&self) -> Result<usize, String> {
        let view = rest::json(self.apis()[self.leader()?], "/cluster")?;
        let members = view["members"].as_array().ok_or("no members")?;
        let named = members.iter().find(|member| member["role"] == "sync_standby").ok_or("no synchronous standby")?;
        self.names().iter().position(|name| named["name"] == name.as_str()).ok_or_else(|| format!("unknown {named}"))
    }

    /// Asks for a switchover to the synchronous standby.
    fn switch_over(&mut self, old: usize) {
        let candidate = wait::until("a synchronous standby is named", Duration::from_secs(60), || self.standby());
        let names = self.names();
        let body = format!(r#"{{"leader":"{}","candidate":"{}"}}"#, names[old], names[candidate]);
        let (code, text) = rest::request("POST", self.apis()[old], "/switchover", &body).expect("an answer");
        assert_eq!(code, 200, "{text}");
    }

    /// The counting client, after its first acknowledged write.
    fn client(&self, primary: usize) -> Writer {
        sql::query(self.databases()[primary], TABLE).expect("the table");
        let host = self.place().inside(crate::net::CLIENT);
        let writer = Writer::start(self.place().path(), &self.databases(), host.as_ref());
        writer.writes_again(Duration::from_secs(20));
        writer
    }
}

impl Subject for Cluster {
    fn place(&self) -> &Place {
        &self.place
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn databases(&self) -> Vec<SocketAddr> {
        self.addresses()
    }

    fn apis(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.rest).collect()
    }

    fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn settle(&self) -> usize {
        self.settled(self.synchronous)
    }

    fn agent(&self, node: usize) -> i32 {
        self.nodes[node].pids().agent
    }

    fn managers(&self, node: usize) -> Vec<i32> {
        idle::managers_below(self.nodes[node].pids().guard)
    }

    fn postmaster(&self, node: usize) -> i32 {
        self.nodes[node].pids().postmaster.expect("a postmaster")
    }

    fn kill_node(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    fn bring_back(&mut self) {
        for node in &mut self.nodes {
            if node.is_running() {
                node.processes().iter().for_each(|process| process::thaw(process.pid));
            } else {
                node.start();
            }
        }
    }

    fn away(&self) -> Duration {
        Duration::from_secs(8)
    }
}
