//! Data directories that other hands take away or replace, and what the node's state directory knows of its own one.

use super::World;
use crate::model::{postgres::Dir, wal::Wal};

/// A copy that somebody made of a data directory.
#[derive(Clone, Debug)]
pub struct Backup {
    wal: Wal,
    system: u64,
    was_primary: bool,
}

impl World {
    /// A directory that this node has made itself.
    pub fn own_directory(&mut self, node: usize) {
        self.checks.robbed[node] = false;
        self.adopt_directory(node);
    }

    /// A directory that it takes for its own.
    pub fn adopt_directory(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        if here.pg.dir == Dir::Cluster {
            here.known_directory = here.pg.identity;
        }
        self.look_at_directory(node);
    }

    /// The same, unless it is another one by now than whoever decided so has seen.
    pub fn adopt_seen_directory(&mut self, node: usize) {
        let here = &self.nodes[node];
        if here.directory() == here.agent.seen.directory { self.adopt_directory(node) } else { self.look_at_directory(node) }
    }

    /// Whether the directory that is there is the known one. A node that knows none takes what it finds first for its own.
    pub fn look_at_directory(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        if here.pg.dir == Dir::Cluster && here.known_directory == 0 {
            here.known_directory = here.pg.identity;
        }
        let (replaced, directory) = (here.directory_replaced(), here.directory());
        let seen = &mut here.agent.seen;
        if (seen.directory_replaced, seen.directory) != (replaced, directory) {
            (seen.directory_replaced, seen.directory) = (replaced, directory);
            here.agent.settled = None;
        }
    }

    /// It is not the known one, and whoever decided to start it did not know (`seen`). The agent looks right before it starts.
    pub fn replaced_unseen(&self, node: usize, seen: bool) -> bool {
        self.nodes[node].directory_replaced() && !seen
    }

    /// Somebody copies the directory.
    pub fn back_up_directory(&mut self, node: usize) {
        let pg = &self.nodes[node].pg;
        let copied = pg.dir == Dir::Cluster && self.nodes[node].writer.is_none();
        let backup = copied.then(|| Backup { wal: pg.wal.clone(), system: pg.system, was_primary: pg.writable() });
        self.nodes[node].backup = backup;
    }

    /// The server is ended and its directory taken away; `restored`: the copy that was made earlier is put in its place.
    pub fn take_directory(&mut self, node: usize, restored: bool) {
        let backup = self.nodes[node].backup.take().filter(|_| restored);
        if self.nodes[node].writer.is_some() || restored && backup.is_none() || self.nodes[node].pg.dir != Dir::Cluster {
            return;
        }
        self.crash_postgres(node);
        let identity = self.number();
        let pg = &mut self.nodes[node].pg;
        pg.rewound = false;
        match backup {
            Some(Backup { wal, system, was_primary }) => {
                (pg.wal, pg.system, pg.was_primary, pg.clean, pg.identity) = (wal, system, was_primary, false, identity);
            }
            None => (pg.dir, pg.wal, pg.identity) = (Dir::Empty, Wal::default(), 0),
        }
        self.checks.took_directory(node);
        self.say_node(node, || format!("its data directory is {}", if restored { "replaced by an older copy" } else { "gone" }));
        self.postmaster_died(node);
        if self.nodes[node].agent.alive {
            self.kick(node);
        }
    }
}
