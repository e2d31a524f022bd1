//! A whole cluster: a store, three nodes, a client that counts.

use crate::{
    node::{Node, Options},
    place::Place,
    sql,
    store::{Kind, Store},
    wait,
    writer::{self, Notes, TABLE, Writer},
};
use std::{net::SocketAddr, time::Duration};

/// Everything a test needs. Dropped in order: nodes, store, directory.
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// It was started in synchronous mode.
    pub synchronous: bool,
    /// The store.
    pub store: Store,
    /// Addresses and directory.
    pub place: Place,
}

/// How long a healthy cluster may take to form on a busy machine.
const FORMING: Duration = Duration::from_secs(90);

impl Cluster {
    /// Starts store and nodes, and waits until one node is primary, the others stream, and a synchronous standby is named where one is due.
    pub fn start(kind: Kind, count: u8, options: &Options) -> Self {
        let mut cluster = Self::prepare(kind, count, options);
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.settled(options.synchronous);
        cluster
    }

    /// A store that runs, and nodes that do not.
    pub fn prepare(kind: Kind, count: u8, options: &Options) -> Self {
        Self::at(Place::new(), kind, count, options)
    }

    /// Three nodes and three etcd members, each pair on a host of its own, all running.
    pub fn on_hosts(options: &Options) -> Self {
        let mut cluster = Self::at(Place::networked(3), Kind::Etcd, 3, options);
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.settled(options.synchronous);
        cluster
    }

    fn at(place: Place, kind: Kind, count: u8, options: &Options) -> Self {
        let store = Store::start(kind, &place);
        let nodes = (1..=count).map(|number| Node::new(number, &place, &store, options)).collect();
        Self { nodes, synchronous: options.synchronous, store, place }
    }

    /// Waits until there is one primary and all others stream from it.
    pub fn settled(&self, synchronous: bool) -> usize {
        wait::until("the cluster is whole", FORMING, || self.whole(synchronous))
    }

    fn whole(&self, synchronous: bool) -> Result<usize, String> {
        let primary = self.primary()?;
        let expected = self.nodes.len() - 1;
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        let count = sql::value(self.nodes[primary].postgres, streaming)?;
        if count != expected.to_string() {
            return Err(format!("{count} of {expected} standbys stream from {}", self.nodes[primary].name));
        }
        let replicas = self.nodes.iter().filter(|node| node.get("/replica") == 200).count();
        if replicas != expected {
            return Err(format!("{replicas} of {expected} say they are replicas"));
        }
        if synchronous {
            self.named_standby()?;
        }
        Ok(primary)
    }

    /// The node that answers `/primary` with 200; an error when there are none or two.
    pub fn primary(&self) -> Result<usize, String> {
        let found: Vec<usize> = (0..self.nodes.len()).filter(|index| self.nodes[*index].get("/primary") == 200).collect();
        match found[..] {
            [only] => Ok(only),
            [] => Err("no node is primary".into()),
            _ => Err(format!("nodes {found:?} all say primary")),
        }
    }

    /// Waits for a primary other than `old`.
    pub fn next_primary(&self, old: usize, limit: Duration) -> usize {
        wait::until("another node is primary", limit, || match self.primary()? {
            found if found == old => Err("still the old one".into()),
            found => Ok(found),
        })
    }

    /// The node `/sync` names as standby.
    pub fn named_standby(&self) -> Result<usize, String> {
        let primary = self.primary()?;
        let cluster = crate::rest::json(self.nodes[primary].rest, "/cluster")?;
        let members = cluster["members"].as_array().ok_or("no members")?;
        let named = members
            .iter()
            .find(|member| member["role"] == "sync_standby" || member["role"] == "quorum_standby")
            .ok_or("no synchronous standby is named")?;
        self.nodes.iter().position(|node| named["name"] == node.name.as_str()).ok_or_else(|| format!("unknown {named}"))
    }

    /// Where the databases listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.postgres).collect()
    }

    /// Makes the table and starts the counting client; returns when a write is acknowledged and has reached every node.
    pub fn writer(&self) -> Writer {
        let primary = self.primary().expect("a primary");
        sql::query(self.nodes[primary].postgres, TABLE).expect("the table");
        let client = self.place.inside(crate::net::CLIENT);
        let writer = Writer::start(self.place.path(), &self.addresses(), client.as_ref());
        let first = writer.writes_again(Duration::from_secs(20));
        wait::until("the counted rows reach every node", Duration::from_secs(20), || {
            let question = format!("SELECT count(*) FROM counted WHERE n = {}", first.number);
            for node in &self.nodes {
                if sql::value(node.postgres, &question)? != "1" {
                    return Err(format!("{} has not replayed row {}", node.name, first.number));
                }
            }
            Ok(())
        });
        writer
    }

    /// The end of a fault test: the cluster heals, nothing that was acknowledged is missing, and no two nodes acknowledged in turns.
    pub fn verdict(&self, writer: Writer, synchronous: bool) -> Notes {
        let primary = self.settled(synchronous);
        wait::until("enough writes are acknowledged to say something", Duration::from_secs(30), || {
            match writer.so_far().acknowledged().len() {
                enough if enough > 50 => Ok(()),
                few => Err(format!("{few}")),
            }
        });
        writer.writes_again(Duration::from_secs(30));
        let notes = writer.finish();
        let acknowledged = notes.acknowledged();
        assert!(acknowledged.len() > 20, "only {} writes were acknowledged: the test saw nothing", acknowledged.len());
        let rows = sql::query(self.nodes[primary].postgres, "SELECT n FROM counted").expect("the rows");
        let found: std::collections::BTreeSet<i64> = rows.into_iter().filter_map(|row| row[0].parse().ok()).collect();
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        println!(
            "  acknowledged {}, found {}, in doubt {}, refused {}",
            acknowledged.len(),
            found.len(),
            notes.of("doubt").count(),
            notes.of("fail").count()
        );
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert_eq!(notes.overlap(), Duration::ZERO, "two nodes acknowledged in turns");
        notes
    }

    /// The epoch of the lease, as the leader says it.
    pub fn epoch(&self) -> u64 {
        let primary = self.primary().expect("a primary");
        let view = self.nodes[primary].view().expect("its view");
        view["tanist"]["epoch"].as_u64().unwrap_or_else(|| panic!("no epoch in {view}"))
    }

    /// The timeline of a node.
    pub fn timeline(&self, index: usize) -> u64 {
        let view = self.nodes[index].view().expect("its view");
        view["timeline"].as_u64().unwrap_or_else(|| panic!("no timeline in {view}"))
    }

    /// Nanoseconds of boot time, to mark a fault.
    pub fn now() -> u64 {
        writer::boot_nanos()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in self.nodes.iter().map(Node::log).chain(self.store.logs()) {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(60).collect();
                eprintln!("---- {} (last lines)", log.display());
                for line in tail.into_iter().rev() {
                    eprintln!("{line}");
                }
            }
        }
    }
}
