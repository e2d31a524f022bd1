//! Streaming replication: connections, WAL on its way, flush reports.

use super::{
    World,
    event::{Event, Inside, Local, Process},
};
use crate::model::{
    clock::{MS, SEC},
    postgres::{Server, Walsender},
    wal::Seg,
};

/// `wal_sender_timeout` as the agent sets it.
const SENDER_TIMEOUT: u64 = 10 * SEC;

impl World {
    fn serves(&self, node: usize) -> bool {
        let here = &self.nodes[node];
        here.powered
            && here.stopped[Process::Postgres as usize] == 0
            && matches!(here.pg.server, Server::Primary | Server::Standby | Server::Stopping)
    }

    /// The walreceiver tries its upstream.
    pub fn connect(&mut self, node: usize) {
        let pg = &self.nodes[node].pg;
        if pg.server != Server::Standby || !pg.exhausted {
            return;
        }
        let wanted = pg.upstream.as_ref().and_then(|upstream| self.find(&upstream.name));
        let other = pg.connection.filter(|(present, _)| Some(*present) != wanted);
        if pg.connection.is_some() && other.is_none() {
            return;
        }
        if !self.nodes[node].replay.moves() {
            // The startup process has not read whom to follow.
            return self.later(node, 200 * MS, Local::Inside(Inside::Connect));
        }
        if other.is_some() {
            self.drop_connection(node);
        }
        let pg = &self.nodes[node].pg;
        let Some(upstream) = pg.upstream.as_ref().and_then(|upstream| self.find(&upstream.name)) else { return };
        let end = pg.wal.end();
        if !self.is_fed(node) {
            self.reports_too_much(node, upstream);
            let pause = self.rng.range(300 * MS, 2 * SEC);
            return self.later(node, pause, Local::Inside(Inside::Connect));
        }
        let connection = self.number();
        self.nodes[node].pg.connection = Some((upstream, connection));
        // The leader has made the slot meanwhile.
        self.nodes[node].pg.slot_differs = self.rng.chance(50);
        self.nodes[upstream].pg.walsenders.retain(|sender| sender.node != node);
        self.nodes[upstream].pg.walsenders.push(Walsender { node, connection, flushed: end, sent: end });
        self.send_wal(upstream);
        self.release_commits(upstream);
        self.kick(node);
        self.kick(upstream);
    }

    /// The upstream would send what this standby lacks.
    pub fn is_fed(&self, node: usize) -> bool {
        let pg = &self.nodes[node].pg;
        let Some(upstream) = pg.upstream.as_ref().and_then(|upstream| self.find(&upstream.name)) else { return false };
        let (timeline, end) = (pg.wal.timeline(), pg.wal.end());
        upstream != node
            && self.net.linked(node, upstream)
            && self.serves(upstream)
            && self.nodes[upstream].pg.server != Server::Stopping
            && self.nodes[upstream].pg.system == self.nodes[node].pg.system
            && self.nodes[upstream].pg.wal.send(timeline, end, end).is_some()
    }

    /// A standby that is beyond where its upstream left their timeline is refused, but not at once: it asks for the segment, in which the
    /// upstream still is on its timeline, and tells what it has flushed before it learns that there is no more.
    fn reports_too_much(&mut self, node: usize, upstream: usize) {
        let wal = &self.nodes[node].pg.wal;
        let (timeline, end) = (wal.timeline(), wal.end());
        let there = &self.nodes[upstream].pg;
        let same =
            self.serves(upstream) && there.system == self.nodes[node].pg.system && there.wal.send(timeline, 0, 0).is_some();
        if upstream == node || !same || !self.net.linked(node, upstream) || there.server == Server::Stopping {
            return;
        }
        let connection = self.number();
        self.nodes[upstream].pg.walsenders.retain(|sender| sender.node != node);
        self.nodes[upstream].pg.walsenders.push(Walsender { node, connection, flushed: end, sent: end });
        self.release_commits(upstream);
        self.kick(upstream);
        let noticed = self.rng.range(MS, 60 * MS);
        self.later(upstream, noticed, Local::Inside(Inside::Left { connection }));
    }

    /// The standby leaves its upstream on its own.
    pub fn drop_connection(&mut self, node: usize) {
        if let Some((upstream, connection)) = self.nodes[node].pg.connection.take() {
            let noticed = if self.net.linked(node, upstream) { 5 * MS } else { 3 * SEC };
            self.later(upstream, noticed, Local::Inside(Inside::Left { connection }));
        }
    }

    /// The server goes: its upstream and its standbys notice, at once where the network tells them.
    pub fn leave_all(&mut self, node: usize) {
        self.drop_connection(node);
        let senders: Vec<(usize, u64)> =
            self.nodes[node].pg.walsenders.iter().map(|sender| (sender.node, sender.connection)).collect();
        for (standby, connection) in senders {
            let told = self.net.linked(node, standby) && self.nodes[node].powered;
            let noticed = if told { self.rng.range(MS, 20 * MS) } else { self.rng.range(SEC, 6 * SEC) };
            self.later(standby, noticed, Local::Inside(Inside::Lost { connection }));
        }
    }

    /// The standby's connection is gone.
    pub fn connection_lost(&mut self, node: usize, connection: u64) {
        if self.nodes[node].pg.connection.is_some_and(|(_, known)| known == connection) {
            self.nodes[node].pg.connection = None;
            self.kick(node);
            let pause = self.rng.range(100 * MS, 2 * SEC);
            self.later(node, pause, Local::Inside(Inside::Connect));
        }
    }

    /// A link between two nodes is cut: connections over it end after a time-out.
    pub fn link_cut(&mut self, one: usize, other: usize) {
        for (standby, upstream) in [(one, other), (other, one)] {
            let Some((to, connection)) = self.nodes[standby].pg.connection else { continue };
            if to == upstream {
                let (here, there) = (self.rng.range(SEC, 6 * SEC), self.rng.range(SEC, 6 * SEC));
                self.later(standby, here, Local::Inside(Inside::Lost { connection }));
                self.later(upstream, there, Local::Inside(Inside::Left { connection }));
            }
        }
    }

    /// A standby stands still: its upstream ends the connection when it has heard nothing for so long.
    pub fn falls_silent(&mut self, node: usize) {
        if let Some((upstream, connection)) = self.nodes[node].pg.connection {
            self.later(upstream, SENDER_TIMEOUT, Local::Inside(Inside::Silent { standby: node, connection }));
        }
    }

    /// It has heard nothing, if the standby has not gone on meanwhile.
    pub fn standby_silent(&mut self, standby: usize, connection: u64) {
        let still = self.nodes[standby].stopped[Process::Postgres as usize] > 0;
        if let Some((upstream, _)) = self.nodes[standby].pg.connection.filter(|(_, known)| still && *known == connection) {
            self.later(upstream, 0, Local::Inside(Inside::Left { connection }));
            self.later(standby, MS, Local::Inside(Inside::Lost { connection }));
        }
    }

    /// New WAL is here.
    pub fn wal_grew(&mut self, node: usize) {
        self.send_wal(node);
    }

    fn send_wal(&mut self, node: usize) {
        let end = self.nodes[node].pg.wal.end();
        for index in 0..self.nodes[node].pg.walsenders.len() {
            let sender = self.nodes[node].pg.walsenders[index];
            if sender.sent >= end || sender.sent > sender.flushed {
                continue;
            }
            let standby = &self.nodes[sender.node].pg;
            let Some(sent) = self.nodes[node].pg.wal.send(standby.wal.timeline(), sender.sent, end) else { continue };
            self.nodes[node].pg.walsenders[index].sent = end;
            self.carry(node, sender.node, sender.connection, sent, end);
        }
    }

    fn carry(&mut self, node: usize, to: usize, connection: u64, sent: Vec<Seg>, upto: u64) {
        let life = self.nodes[to].pg.life;
        let slow = self.nodes[to].slow[6] > 0;
        let took = if slow { self.rng.range(50 * MS, 4 * SEC) } else { self.rng.range(MS / 2, 8 * MS) };
        let what = Local::Inside(Inside::Arrive { from: node, connection, sent, upto });
        self.at(self.now + took, Event::Local { node: to, life, what });
    }

    /// WAL arrives at a standby and is flushed.
    pub fn wal_arrives(&mut self, node: usize, from: usize, connection: u64, sent: &[Seg], upto: u64) {
        if self.nodes[node].pg.connection != Some((from, connection)) || self.nodes[node].pg.server != Server::Standby {
            return;
        }
        if !self.net.open(from, node) {
            let what = Local::Inside(Inside::Arrive { from, connection, sent: sent.to_vec(), upto });
            return self.later(node, 400 * MS, what);
        }
        self.nodes[node].pg.wal.receive(sent);
        self.nodes[node].pg.grew_at = self.now;
        let flushed = self.nodes[node].pg.wal.end();
        let life = self.nodes[from].pg.life;
        let took = self.rng.range(MS / 2, 6 * MS);
        let what = Local::Inside(Inside::Flushed { by: node, connection, flushed });
        self.at(self.now + took, Event::Local { node: from, life, what });
        if !self.nodes[node].pg.walsenders.is_empty() {
            self.send_wal(node);
        }
    }

    /// A flush report arrives at the primary.
    pub fn wal_flushed(&mut self, node: usize, by: usize, connection: u64, flushed: u64) {
        if !self.net.open(by, node) {
            let what = Local::Inside(Inside::Flushed { by, connection, flushed });
            return self.later(node, 400 * MS, what);
        }
        let Some(sender) = self.nodes[node].pg.walsenders.iter_mut().find(|sender| sender.connection == connection) else {
            return;
        };
        sender.flushed = sender.flushed.max(flushed);
        self.release_commits(node);
        self.send_wal(node);
    }
}
