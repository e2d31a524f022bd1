//! PostgreSQL, its guard, and clients.

use super::{
    scope::Scope,
    state::{Names, Server, State, Work, opening},
};
use crate::mutant::Mutant;

impl State {
    /// From whom a standby streams.
    pub fn streams_from(&self, place: u8) -> Option<u8> {
        let node = &self.nodes[usize::from(place)];
        let Server::Standby { upstream: Some((upstream, _)) } = node.server else { return None };
        let there = &self.nodes[usize::from(upstream)];
        let serves = upstream != place && matches!(there.server, Server::Primary | Server::Standby { .. });
        (serves && there.log.starts_with(&node.log)).then_some(upstream)
    }

    /// Nothing of the server is left.
    pub(super) fn fence(&mut self, place: u8) {
        self.crash(place);
        self.nodes[usize::from(place)].armed = None;
    }

    /// The server dies; the guard fences what is left of it, and the permission stays.
    pub(super) fn crash(&mut self, place: u8) {
        let node = &mut self.nodes[usize::from(place)];
        let opening = matches!(node.server, Server::Opening { .. });
        let was_primary = match node.server {
            Server::Primary | Server::Opening { timeline: None, .. } => true,
            Server::Standby { .. } | Server::Opening { .. } => false,
            Server::Down { was_primary, .. } => was_primary,
        };
        if !matches!(node.server, Server::Down { .. }) {
            node.server = Server::Down { clean: false, was_primary };
        }
        // What the agent has not begun yet it begins later, and finds what it finds.
        let began = |work: &mut Work| *work == Work::Stop || matches!(work, Work::Promote { .. }) && opening;
        node.fenced = true;
        node.end_server();
        if let Some(work) = node.work.take_if(began) {
            node.worked = Some((work, work == Work::Stop));
        }
    }

    fn permitted(&self, place: u8, epoch: u8, scope: &Scope) -> bool {
        let armed = self.nodes[usize::from(place)].armed;
        scope.lacks(Mutant::PromoteUnarmed) || armed.is_some_and(|(known, age)| known == epoch && age < scope.deadline())
    }

    /// The running job goes on. `false`: it still waits.
    pub(super) fn work(&mut self, place: u8, scope: &Scope) -> Result<bool, String> {
        let node = &self.nodes[usize::from(place)];
        let Some(work) = node.work else { return Ok(false) };
        let down = matches!(node.server, Server::Down { .. });
        let standby = matches!(node.server, Server::Standby { .. });
        let done = match work {
            Work::Promote { epoch, timeline } => {
                if standby && self.permitted(place, epoch, scope) {
                    self.check_permission(place, epoch)?;
                    self.nodes[usize::from(place)].server = Server::Opening { epoch, timeline: Some(timeline) };
                    return Ok(true);
                }
                false
            }
            Work::Start { epoch } => {
                down && self.permitted(place, epoch, scope) && self.start(place, Server::Opening { epoch, timeline: None })
            }
            Work::Standby { upstream } => down && self.start(place, Server::Standby { upstream }),
            Work::Follow { upstream } => standby && self.start(place, Server::Standby { upstream: Some(upstream) }),
            Work::Stop => match self.stop(place) {
                true => true,
                false => return Ok(false),
            },
            Work::Clone { from, .. } => down && self.copy(place, from),
        };
        let node = &mut self.nodes[usize::from(place)];
        (node.work, node.worked) = (None, Some((work, done)));
        Ok(true)
    }

    fn start(&mut self, place: u8, server: Server) -> bool {
        let node = &mut self.nodes[usize::from(place)];
        (node.server, node.fenced) = (server, false);
        true
    }

    /// A fast shutdown waits until the standbys have everything.
    fn stop(&mut self, place: u8) -> bool {
        let end = self.nodes[usize::from(place)].log.len();
        let waits = (0..self.nodes.len() as u8)
            .any(|other| self.streams_from(other) == Some(place) && self.nodes[usize::from(other)].log.len() < end);
        let node = &mut self.nodes[usize::from(place)];
        let was_primary = match node.server {
            Server::Primary => true,
            Server::Standby { .. } => false,
            Server::Opening { .. } => return false,
            Server::Down { .. } => return true,
        };
        if !waits {
            (node.server, node.fenced) = (Server::Down { clean: true, was_primary }, true);
            node.end_server();
        }
        !waits
    }

    fn copy(&mut self, place: u8, from: u8) -> bool {
        let source = &self.nodes[usize::from(from)];
        if source.server != Server::Primary {
            return false;
        }
        let log = source.log.clone();
        let node = &mut self.nodes[usize::from(place)];
        (node.log, node.server) = (log, Server::Down { clean: true, was_primary: false });
        true
    }

    /// PostgreSQL has become writable.
    pub(super) fn opened(&mut self, place: u8, scope: &Scope) -> Result<(), String> {
        let node = &mut self.nodes[usize::from(place)];
        let Server::Opening { epoch, timeline } = node.server else { return Ok(()) };
        if let Some(timeline) = timeline {
            node.log.push(opening(timeline, epoch));
            (node.work, node.worked) = (None, Some((Work::Promote { epoch, timeline }, true)));
        }
        let reserved = scope.synchronous && !scope.lacks(Mutant::NoReservedName);
        node.names = (if reserved { Names::Reserved } else { Names::Nobody }, None);
        node.server = Server::Primary;
        self.check_timelines(place)?;
        self.check_winner(place)
    }

    /// Every process has the new names.
    pub(super) fn names_in_force(&mut self, place: u8) -> Result<(), String> {
        let node = &mut self.nodes[usize::from(place)];
        if let Some(names) = node.names.1.take() {
            node.names.0 = names;
        }
        self.release(place)
    }

    /// A standby receives one entry.
    pub(super) fn replicate(&mut self, place: u8) -> Result<(), String> {
        let Some(upstream) = self.streams_from(place) else { return Ok(()) };
        let end = self.nodes[usize::from(place)].log.len();
        if let Some(entry) = self.nodes[usize::from(upstream)].log.get(end).copied() {
            self.nodes[usize::from(place)].log.push(entry);
        }
        self.release(upstream)
    }

    /// A client writes.
    pub(super) fn write(&mut self, place: u8) -> Result<(), String> {
        self.writes += 1;
        let node = &mut self.nodes[usize::from(place)];
        node.log.push(self.writes + 1);
        node.waiting.push(self.writes + 1);
        self.release(place)
    }

    /// Commits that have what their names demand are acknowledged at once. While names change, a process may have either.
    fn release(&mut self, place: u8) -> Result<(), String> {
        let node = &self.nodes[usize::from(place)];
        if node.server != Server::Primary {
            return Ok(());
        }
        let has = |standby: u8, write: u8| {
            self.streams_from(standby) == Some(place) && self.nodes[usize::from(standby)].log.contains(&write)
        };
        let enough = |names: Names, write| match names {
            Names::Nobody => true,
            Names::Reserved => false,
            Names::First(standby) => has(standby, write),
        };
        let returned = |write: &u8| enough(node.names.0, *write) || node.names.1.is_some_and(|names| enough(names, *write));
        let (returned, waiting): (Vec<u8>, Vec<u8>) = node.waiting.iter().partition(|write| returned(write));
        self.nodes[usize::from(place)].waiting = waiting;
        if self.synchronous & 1 << place != 0 {
            self.acknowledged.extend(returned);
        }
        Ok(())
    }
}

impl super::state::Node {
    fn end_server(&mut self) {
        self.waiting.clear();
        self.names.1 = None;
        self.proof = None;
    }
}
