//! The store carries calls out; answers arrive, or nobody waits for them; the watch shows the keys.

use super::{
    scope::Scope,
    state::{Call, DEADLINE, OLD, OVER, Own, Record, State, Write},
};
use crate::mutant::Mutant;

impl State {
    /// A call reaches the store: whether its comparisons held. Nothing: it would open an epoch beyond the scope.
    pub(super) fn land(&mut self, call: &Call, scope: &Scope) -> Result<Option<bool>, String> {
        let held = self.holds(call, scope);
        if held && matches!(call.write, Write::Acquire { .. }) && self.keys.record.epoch >= scope.epochs {
            return Ok(None);
        }
        let (epoch, shown) = (self.keys.record.epoch, self.keys.face.0);
        if held {
            self.carry_out(call, scope);
        }
        if self.keys.record.epoch < epoch {
            return Err(format!("I4: the lease's epoch fell from {epoch} to {}", self.keys.record.epoch));
        }
        if self.keys.face.0 < shown {
            return Err(format!("I4: the face went back from epoch {shown} to {}", self.keys.face.0));
        }
        Ok(Some(held))
    }

    /// Forgets late calls whose comparisons can never hold again: versions and epochs only grow.
    pub(super) fn forget_calls(&mut self, scope: &Scope) {
        let record = self.keys.record.clone();
        let (sync, claims) = (self.keys.sync.version, self.keys.claims_version);
        let leads = |epoch| scope.lacks(Mutant::LeaderWriteUnfenced) || record.epoch == epoch && !record.released;
        self.calls.retain(|call| match &call.write {
            Write::Acquire { record: seen, sync: compared } => {
                *seen == record.version && *compared == sync || scope.lacks(Mutant::AcquireWithoutRecord)
            }
            Write::Renew { record: seen, .. } => *seen == record.version || scope.lacks(Mutant::RenewWithoutCompare),
            Write::Release { record: seen, .. } => *seen == record.version,
            Write::Sync { epoch, compared, .. } => leads(*epoch) && *compared == sync,
            Write::Claims { epoch, compared, .. } => leads(*epoch) && *compared == claims,
            Write::Face { epoch, .. } => leads(*epoch),
        });
    }

    fn holds(&self, call: &Call, scope: &Scope) -> bool {
        let record = &self.keys.record;
        let leads = |epoch| {
            scope.lacks(Mutant::LeaderWriteUnfenced) || record.holder == call.node && record.epoch == epoch && !record.released
        };
        match &call.write {
            Write::Acquire { record: seen, sync } => {
                *seen == record.version && *sync == self.keys.sync.version || scope.lacks(Mutant::AcquireWithoutRecord)
            }
            Write::Renew { record: seen, .. } => *seen == record.version || scope.lacks(Mutant::RenewWithoutCompare),
            Write::Release { record: seen, .. } => *seen == record.version,
            Write::Sync { epoch, compared, .. } => leads(*epoch) && *compared == self.keys.sync.version,
            Write::Claims { epoch, compared, .. } => leads(*epoch) && *compared == self.keys.claims_version,
            Write::Face { epoch, .. } => leads(*epoch),
        }
    }

    fn carry_out(&mut self, call: &Call, scope: &Scope) {
        let keys = &mut self.keys;
        let version = keys.record.version + 1;
        let (life, holder, age) = (call.life, call.node, call.age);
        match &call.write {
            Write::Acquire { .. } => {
                let sync = scope.synchronous.then(|| keys.sync.clone());
                let epoch = keys.record.epoch + 1;
                keys.record = Record { version, holder, life, epoch, age, released: false, sync };
                keys.sync.version += 1;
            }
            Write::Renew { epoch, .. } => {
                keys.record =
                    Record { version, holder, life, epoch: *epoch, age, released: false, sync: keys.record.sync.clone() };
            }
            Write::Release { epoch, handoff, .. } => {
                keys.record = Record { version, age, released: true, ..keys.record.clone() };
                keys.handoff = handoff.map(|to| (to, *epoch)).or(keys.handoff);
            }
            Write::Sync { leader, standby, .. } => {
                (keys.sync.leader, keys.sync.standby) = (*leader, *standby);
                keys.sync.version += 1;
                match leader {
                    Some(leader) => self.synchronous |= 1 << leader,
                    None => (self.synchronous, self.acknowledged) = (0, Vec::new()),
                }
            }
            Write::Claims { claims, .. } => {
                keys.claims.clone_from(claims);
                keys.claims_version += 1;
            }
            Write::Face { epoch, timeline } => keys.face = (*epoch, call.node, *timeline),
        }
    }

    /// The answer to a lease call arrives at once.
    pub(super) fn answer(&mut self, call: &Call, held: bool) {
        let node = &mut self.nodes[usize::from(call.node)];
        if held && matches!(call.write, Write::Release { .. }) {
            node.own = None;
        }
        self.show_record(call.node);
        let node = &mut self.nodes[usize::from(call.node)];
        // Its own renewal: the guard's deadline moves.
        if let (true, Write::Renew { epoch, .. }, Some((armed, age))) = (held, &call.write, &mut node.armed)
            && armed == epoch
            && *age < DEADLINE
        {
            *age = (*age).min(call.age);
        }
    }

    /// The watch shows all keys.
    pub(super) fn watch(&mut self, place: u8, scope: &Scope) {
        let began = self.nodes[usize::from(place)].view.is_none();
        self.show_record(place);
        let node = &mut self.nodes[usize::from(place)];
        node.view = Some(self.keys.clone());
        if scope.lacks(Mutant::UnknownIsVacant) && began && node.own.is_none() {
            (node.seen_age, node.confirmed) = (OLD, Some(0));
        }
    }

    /// A node reads the newest record, and folds it into what it knows of the lease.
    fn show_record(&mut self, place: u8) {
        let record = self.keys.record.clone();
        let node = &mut self.nodes[usize::from(place)];
        let known = node.view.as_ref().map(|keys| keys.record.version);
        if known != Some(record.version) {
            (node.seen_age, node.confirmed) = (0, None);
        }
        if let Some(keys) = &mut node.view {
            keys.record = record.clone();
        }
        if record.holder != place || record.released {
            node.own = None;
            return;
        }
        let mine = record.life == node.life;
        let own = |age| Own { epoch: record.epoch, version: record.version, age, sync: record.sync.clone() };
        node.own = match (&node.own, node.armed) {
            (Some(held), _) if held.epoch == record.epoch => Some(own(if mine { held.age.min(record.age) } else { held.age })),
            _ if mine && record.age < OVER => Some(own(record.age)),
            // An agent that has just started takes over what the guard still counts down.
            (None, Some((armed, age))) if armed == record.epoch => Some(own(age)),
            _ => None,
        };
    }
}
