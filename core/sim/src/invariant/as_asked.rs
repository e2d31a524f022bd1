//! In the end the cluster is what its configuration asks for: commits wait for as many standbys as they shall and `/sync` names them, and
//! the lease record names whoever may sustain it in failsafe mode. Whatever was switched meanwhile is done.

use crate::{
    model::{
        clock::SEC,
        postgres::Server,
        store::{FAILSAFE, MEMBER0, Value},
    },
    world::World,
};
use std::collections::BTreeSet;
use tanist_engine::{MemberName, SyncMode, SyncNames};

/// A commit that waits for longer than that waits for ever.
const PATIENCE: u64 = 4 * SEC;

impl World {
    /// Everything that was asked for is in force. The standbys stream from this leader.
    pub(super) fn as_asked(&self, leader: usize) -> Result<(), &'static str> {
        // A Patroni that is there decides for itself, and failsafe mode is off beside it.
        if self.patroni.is_some() {
            return Ok(());
        }
        self.synchronous_as_asked(leader)?;
        self.failsafe_as_asked(leader)
    }

    /// Standbys that may be named in `/sync`.
    pub(super) fn able(&self, leader: usize) -> BTreeSet<MemberName> {
        let able = |node: &usize| {
            let (tags, pg) = (self.options.tags(*node), &self.nodes[*node].pg);
            let ours = pg.server == Server::Standby && pg.system == self.nodes[leader].pg.system;
            *node != leader && ours && tags.may_lead() && !tags.nosync
        };
        (0..self.nodes.len()).filter(able).map(|node| self.names[node].clone()).collect()
    }

    fn synchronous_as_asked(&self, leader: usize) -> Result<(), &'static str> {
        let (mode, pg) = (self.nodes[leader].agent.policy.synchronous, &self.nodes[leader].pg);
        let sync = self.store.snap.sync().filter(|sync| sync.leader.is_some());
        if mode == SyncMode::Off {
            return match (sync, &pg.names) {
                (None, SyncNames::Nobody) => Ok(()),
                (None, _) => Err("commits wait in asynchronous mode"),
                (Some(_), _) => Err("/sync binds in asynchronous mode"),
            };
        }
        let Some(sync) = sync.filter(|sync| sync.leader.as_ref() == Some(&self.names[leader])) else {
            return Err("/sync is not of the leader");
        };
        let (able, count) = (self.able(leader), mode.node_count() as usize);
        let wanted = if matches!(mode, SyncMode::Quorum { .. }) { able.len() } else { able.len().min(count) };
        if sync.standbys.len() != wanted
            || !sync.standbys.is_subset(&able)
            || sync.quorum as usize != wanted.saturating_sub(count)
        {
            return Err("/sync does not name as many standbys as it could");
        }
        let demanded = pg.names.demand().map(|(count, standbys)| (count as usize, standbys));
        match (wanted, demanded) {
            (0, None) if (pg.names == SyncNames::Reserved) == mode.is_strict() => Ok(()),
            (1.., Some((demanded, standbys))) if demanded == wanted.min(count) && *standbys == sync.standbys => {
                let late = pg.waiting.first().is_some_and(|first| first.since + PATIENCE < self.now);
                if late { Err("commits wait although all standbys are there") } else { Ok(()) }
            }
            _ => Err("commits do not wait for whom /sync names"),
        }
    }

    fn failsafe_as_asked(&self, leader: usize) -> Result<(), &'static str> {
        let shown =
            self.store.snap.get(FAILSAFE).and_then(|kv| if let Value::Failsafe(named) = &*kv.value { Some(named) } else { None });
        let recorded = self.store.snap.record().and_then(|(record, _)| record.failsafe.as_deref());
        if shown != recorded {
            return Err("/failsafe does not say whom the record names");
        }
        let members = (0..self.nodes.len()).filter(|node| self.store.snap.get(MEMBER0 + node).is_some());
        let all: BTreeSet<&MemberName> = members.map(|node| &self.names[node]).collect();
        match (self.nodes[leader].agent.policy.failsafe, recorded) {
            (false, None) => Ok(()),
            (false, Some(_)) => Err("the record names somebody without failsafe mode"),
            (true, Some(named)) if named.keys().collect::<BTreeSet<_>>() == all => Ok(()),
            (true, _) => Err("the record does not name all members in failsafe mode"),
        }
    }
}
