//! One form for states that nothing can tell apart.

use super::{
    scope::Scope,
    state::{Mind, Names, Node, OLD, OVER, Server, State, Write},
};

/// How long a vacancy lasts matters for so many ticks only, in synchronous mode.
const HEIR: u8 = 2;

impl State {
    /// Forgets what no decision and no move can depend on any more, and names versions anew.
    pub(super) fn canonical(&mut self, scope: &Scope) {
        let record = &mut self.keys.record;
        if record.released || self.nodes[usize::from(record.holder)].life != record.life {
            record.age = 0;
        }
        record.age = record.age.min(OVER);
        if self.keys.handoff.is_some_and(|(_, epoch)| epoch < self.keys.record.epoch) {
            self.keys.handoff = None;
        }
        for node in &mut self.nodes {
            node.canonical(if scope.synchronous { HEIR } else { OLD });
        }
        self.forget_calls(scope);
        for call in &mut self.calls {
            let counts = matches!(call.write, Write::Acquire { .. } | Write::Renew { .. });
            call.age = if counts { call.age.min(OVER) } else { 0 };
        }
        self.calls.sort_unstable();
        self.rename();
    }
}

impl Node {
    fn canonical(&mut self, vacancy: u8) {
        if let Some(keys) = &mut self.view {
            // The age of the store's own record is the one that counts.
            keys.record.age = 0;
            if keys.handoff.is_some_and(|(_, epoch)| epoch < keys.record.epoch) {
                keys.handoff = None;
            }
            if keys.record.released {
                self.seen_age = self.seen_age.min(vacancy);
            }
        }
        self.confirmed = self.confirmed.map(|age| age.min(vacancy));
        if self.confirmed.is_some() {
            self.seen_age = OLD;
        }
        if self.server != Server::Primary {
            self.names = (Names::Nobody, None);
        }
        self.worked = self.worked.filter(|(_, done)| !done && self.own.is_some());
        self.mind.failure_seen &= self.worked.is_some();
        match self.own.as_ref().map(|own| own.epoch) {
            Some(epoch) => {
                self.seen_age = 0;
                self.mind.forget(epoch);
            }
            None => {
                self.tried = false;
                self.mind = Mind {
                    stays_out: self.mind.stays_out,
                    must_replace: self.mind.must_replace,
                    clear: self.mind.clear,
                    ..Mind::default()
                };
            }
        }
    }
}

impl Mind {
    /// What belongs to another epoch than that of the held lease.
    fn forget(&mut self, epoch: u8) {
        self.giving_up = self.giving_up.filter(|known| *known == epoch);
        self.released = self.released.filter(|(known, _)| *known == epoch);
        self.target = self.target.filter(|(_, known, _)| *known == epoch);
    }
}
