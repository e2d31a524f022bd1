//! What survives of one plugin's queue: the last acknowledged event, the events that must be called for yet, the role the plugin was
//! last told or is about to be told, and who leads.
//!
//! It is on the disk before the first call of an event. The agent may die between its decision and that write: then nothing here knows
//! of the event, but [`Told::missed_since`] sees at the next start that the node's role is another than the one that was told.

use crate::{
    durable::{Disk, Durable},
    protocol::{Action, Event, PluginId, Role},
};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc};
use tanist_engine::{Epoch, MemberName};

const MAGIC: &str = "tanist-journal 2 ";

/// What a journal keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The last event that needs no further call.
    pub(crate) acknowledged: Option<Acknowledged>,
    /// Events that must be called for yet, in order.
    pub(crate) pending: Vec<Event>,
    /// Who leads and who did, where the plugin is told to release.
    #[serde(default)]
    pub(crate) leaders: Leaders,
    /// The role of the newest event that was seen here, whether the plugin wanted it or not.
    pub(crate) told: Option<Told>,
}

/// Who leads, and who led before: on whose behalf there is something to release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaders {
    /// The epoch at which the leader was first seen.
    pub(crate) epoch: Epoch,
    pub(crate) leader: Option<MemberName>,
    pub(crate) previous: Option<MemberName>,
}

/// A role, and the epoch it was told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) role: Role,
    pub(crate) epoch: u64,
}

/// An event that needs no further call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    /// Which callback.
    pub(crate) action: Action,
    /// The role it told.
    pub(crate) role: Role,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// Its sequence number.
    pub(crate) sequence: u64,
}

impl Record {
    /// The highest sequence number it knows.
    pub(crate) fn sequence(&self) -> u64 {
        let acknowledged = self.acknowledged.map(|event| event.sequence);
        self.pending.iter().map(|event| event.sequence).chain(acknowledged).max().unwrap_or(0)
    }
}

impl Leaders {
    /// Somebody leads, or nobody. A vacancy in between changes nothing: the one before it is still the previous leader of the one after.
    pub(crate) fn saw(&mut self, leader: Option<&MemberName>, epoch: Epoch) {
        if let Some(leader) = leader.filter(|leader| Some(*leader) != self.leader.as_ref()) {
            self.previous = self.leader.replace(leader.clone());
            self.epoch = epoch;
        }
    }
}

impl Told {
    /// What an event tells.
    pub(crate) fn by(event: &Event) -> Self {
        Self { role: event.role, epoch: event.epoch }
    }

    /// Whether a node that now shows `self` has changed its role since `before` was told without anybody being told. `before` is nothing
    /// at the first start, where only a primary is news.
    pub(crate) fn missed_since(self, before: Option<Self>) -> bool {
        match before {
            None => self.role == Role::Primary,
            Some(before) => before.role != self.role || (self.role == Role::Primary && before.epoch < self.epoch),
        }
    }
}

/// The journal of a plugin in a directory that exists.
pub(crate) fn open(disk: Arc<dyn Disk>, directory: &Path, plugin: &PluginId) -> Durable<Record> {
    Durable::new(disk, directory, &format!("{plugin}.journal"), MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_changed_unseen_is_missed() {
        let told = |role, epoch| Told { role, epoch };
        assert!(told(Role::Primary, 3).missed_since(None));
        assert!(!told(Role::Replica, 3).missed_since(None));
        assert!(!told(Role::Primary, 3).missed_since(Some(told(Role::Primary, 3))));
        assert!(told(Role::Primary, 4).missed_since(Some(told(Role::Primary, 3))), "another leadership");
        assert!(told(Role::Replica, 4).missed_since(Some(told(Role::Primary, 3))));
        assert!(!told(Role::Replica, 4).missed_since(Some(told(Role::Replica, 3))));
    }
}
