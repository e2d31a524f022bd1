//! I3: a lease is taken only when its holder's is over by his own clocks.

use crate::{
    model::{
        clock::SEC,
        store::{FAILOVER, HANDOFF, LEADER, SYNC, Value},
    },
    world::World,
};

impl World {
    /// After every commit of the store.
    pub(crate) fn check_commit(&mut self) {
        self.check_mode();
        if let Some(Value::Failover { candidate: Some(candidate), .. }) = self.store.snap.get(FAILOVER).map(|kv| &*kv.value) {
            self.checks.asked_for = Some(candidate.clone());
        }
        let sync = self.store.snap.revision_of(SYNC);
        if std::mem::replace(&mut self.checks.sync_revision, sync) != sync {
            self.check_all_electors();
            self.check_may_be_named();
        }
        self.check_face();
        let leader = self.store.snap.get(LEADER).map(|kv| kv.value.clone());
        let led = std::mem::replace(&mut self.checks.leader_key, leader);
        let Some((record, revision)) = self.store.snap.record() else { return };
        if revision == self.checks.lease_revision {
            return;
        }
        let epoch = record.epoch_at(revision);
        let holder = self.find(&record.holder);
        let (released, acquired) = (record.released, record.seq == 0);
        let before = self.checks.lease_holder;
        let (record, replaced) = (record.clone(), std::mem::replace(&mut self.checks.lease_revision, revision));
        self.checks.terms.landed(holder, &record, replaced, self.now);
        // Patroni's eyes: whoever wrote the record has the leader key, of that very acquisition.
        let whole = self.store.snap.get(LEADER).is_some_and(|leader| {
            leader.revision == record.acquisition_at(revision)
                && matches!(&*leader.value, Value::Leader(name) if *name == record.holder)
        });
        if !released && !whole && !self.checks.store_restored {
            self.violate("I3", format!("{} wrote its lease without having the leader key", record.holder));
        }
        if let (Some(before), Some(holder)) = (before, holder)
            && before != holder
        {
            self.check_overlap(before, holder);
        }
        if released {
            if let Some(holder) = holder {
                self.check_gave_way(holder);
            }
            self.checks.handed =
                self.store.snap.get(HANDOFF).filter(|kv| kv.revision == revision).and_then(|kv| match &*kv.value {
                    // One of an epoch before, when a leader key was put back meanwhile, means nothing.
                    Value::Handoff(handoff) if handoff.epoch == epoch => Some(handoff.clone()),
                    _ => None,
                });
        } else if acquired {
            let stranger = led.filter(|led| matches!(&**led, Value::Leader(name) if self.find(name).is_none()));
            if stranger.is_some() && !self.checks.store_restored {
                self.violate("I3", format!("{} took the lease over the leader key of somebody else", record.holder));
            }
            if let Some(holder) = holder {
                self.checks.optime[holder] = self.nodes[holder].agent.mirror.snap.as_ref().and_then(|snap| snap.optime());
                self.check_may_lead(holder);
                self.check_race(holder);
            }
            (self.checks.handed, self.checks.asked_for) = (None, None);
        }
        if epoch < self.checks.lease_epoch && !self.checks.store_restored {
            self.violate("I4", format!("the lease's epoch fell from {} to {epoch}", self.checks.lease_epoch));
        }
        if epoch != self.checks.lease_epoch && holder != before {
            self.check_cause(holder);
        }
        // Under an epoch that was promised before, or for whose successor a guard was armed, which only a restored store hands out, nobody
        // promotes: the lease goes round, each time to a higher one, until there is a new one, or an operator raises the base.
        let known = self.nodes.iter().any(|here| here.fence.epoch >= epoch || here.guard.page.epoch > epoch);
        if acquired && self.checks.store_restored && known {
            self.checks.disturbed(self.now);
        }
        self.checks.lease_epoch = epoch;
        self.checks.lease_holder = if released { None } else { holder };
    }

    fn check_overlap(&mut self, before: usize, holder: usize) {
        let here = &self.nodes[before];
        if !here.agent.alive || here.exempt_until > self.now || self.checks.store_restored {
            return;
        }
        let now = self.reading(before);
        let left = self.nodes[before].agent.keeper.clock.left(now);
        if self.nodes[before].agent.keeper.mine.is_some() && left > std::time::Duration::ZERO {
            let text =
                format!("{} took the lease while {} counts on it for {left:?} more", self.names[holder], self.names[before]);
            self.violate("I3", text);
        }
    }

    /// How long nothing was disturbed.
    pub(crate) fn calm_for(&self) -> u64 {
        self.now.saturating_sub(self.checks.last_disturbance.max(10 * SEC))
    }
}
