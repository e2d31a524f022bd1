//! What must hold in every state.

use super::{
    scope::Scope,
    state::{Node, Server, State, opened},
};

impl State {
    /// The leader of the last epoch is shown and nothing of an earlier one is left: no permission, no lease that somebody counts on, no
    /// call, no server but standbys. From here on all is as it was under the first leader, and is not followed again.
    pub(super) fn is_settled(&self, scope: &Scope) -> bool {
        let (shown, leader, _) = self.keys.face;
        let gone = |(place, node): (usize, &Node)| {
            place == usize::from(leader)
                || node.armed.is_none() && node.own.is_none() && !matches!(node.server, Server::Primary | Server::Opening { .. })
        };
        shown == scope.epochs && scope.epochs > 1 && self.nodes.iter().enumerate().all(gone) && self.calls.is_empty()
    }

    /// I1: one primary.
    pub(super) fn check(&self) -> Result<(), String> {
        let writable: Vec<String> = (0..self.nodes.len())
            .filter(|place| self.nodes[*place].server == Server::Primary)
            .map(|place| format!("n{}", place + 1))
            .collect();
        if writable.len() > 1 { Err(format!("I1: writable at once: {}", writable.join(", "))) } else { Ok(()) }
    }

    /// I3: promoted under a lease that is held in the store.
    pub(super) fn check_permission(&self, place: u8, epoch: u8) -> Result<(), String> {
        let record = &self.keys.record;
        let held = record.holder == place && record.epoch == epoch && !record.released;
        if held { Ok(()) } else { Err(format!("I3: n{} is promoted under epoch {epoch}, which it does not hold", place + 1)) }
    }

    /// I4: a timeline is opened once.
    pub(super) fn check_timelines(&self, place: u8) -> Result<(), String> {
        let Some(mine) = self.nodes[usize::from(place)].log.iter().rev().find(|entry| opened(**entry).is_some()) else {
            return Ok(());
        };
        let twin = |entry: &&u8| opened(**entry) == opened(*mine) && *entry != mine;
        match self.nodes.iter().flat_map(|node| &node.log).find(twin) {
            Some(_) => Err(format!("I4: n{} opens timeline {}, which was opened before", place + 1, opened(*mine).unwrap_or(1))),
            None => Ok(()),
        }
    }

    /// I2: whoever becomes writable has all that was acknowledged.
    pub(super) fn check_winner(&self, place: u8) -> Result<(), String> {
        let log = &self.nodes[usize::from(place)].log;
        match self.acknowledged.iter().find(|write| !log.contains(write)) {
            Some(write) => Err(format!("I2: n{} is writable without the acknowledged write {write}", place + 1)),
            None => Ok(()),
        }
    }
}
