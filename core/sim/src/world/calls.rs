//! Calls to the store: sent, carried, answered, given up; and the watch that mirrors its keys.

use super::{
    World,
    agent::{Call, Purpose},
    event::{Event, Local},
};
use crate::model::{
    clock::MS,
    network::Fate,
    store::{Answer, LEASE, MEMBER0, Op, SYNC, Snap, Txn},
};
use std::rc::Rc;

impl World {
    /// Sends a transaction. Given up after `timeout` by the agent's clock.
    pub fn call(&mut self, node: usize, purpose: Purpose, txn: Txn, timeout: u64) -> u64 {
        let call = self.number();
        let until = self.now + timeout.max(MS);
        let now = self.now;
        let calls = &mut self.nodes[node].agent.calls;
        calls.retain(|known| known.until > now || !matches!(known.purpose, Purpose::KeepAlive));
        calls.push(Call { number: call, purpose, until });
        self.plan_to_give_up(node);
        let life = self.nodes[node].agent.life;
        match self.net.fate_of(node, &txn, &mut self.rng) {
            Fate::In(after) => self.at(self.now + after, Event::Arrive { node, life, call, txn: Box::new(txn) }),
            Fate::Lost => {}
        }
        call
    }

    /// Plans a look when the first call may have to be given up, unless an earlier one is planned.
    fn plan_to_give_up(&mut self, node: usize) {
        let agent = &mut self.nodes[node].agent;
        // Nothing follows when nobody answers that an expiry goes on.
        let first = agent.calls.iter().filter(|call| !matches!(call.purpose, Purpose::KeepAlive)).map(|call| call.until).min();
        let Some(first) = first else { return };
        if first < agent.give_up_at {
            agent.give_up_at = first;
            self.later(node, first.saturating_sub(self.now), Local::Timeout);
        }
    }

    /// Gives up calls whose time is over.
    pub fn give_up(&mut self, node: usize) {
        self.nodes[node].agent.give_up_at = u64::MAX;
        let over = |call: &&Call| call.until <= self.now;
        let late: Vec<u64> = self.nodes[node].agent.calls.iter().filter(over).map(|call| call.number).collect();
        for call in late {
            self.answered(node, call, None);
        }
        self.plan_to_give_up(node);
    }

    /// A request reaches the store, perhaps long after it was given up.
    pub fn arrive(&mut self, node: usize, life: u32, call: u64, txn: Txn) {
        let store = self.net.store();
        if self.now < self.store_up_at || !self.net.open(node, store) {
            // Queued somewhere on the way; it may land late.
            if self.rng.chance(500) {
                let again = self.store_up_at.max(self.now) + self.rng.range(50 * MS, 3000 * MS);
                self.at(again, Event::Arrive { node, life, call, txn: Box::new(txn) });
            }
            return;
        }
        let waited = self.nodes[node].agent.calls.iter().any(|known| known.number == call);
        let late = |key| !waited && txn.then.iter().any(|op| matches!(op, Op::Put(put, _) if *put == key));
        if late(LEASE) {
            self.slowed("a late write of the lease", 0);
        }
        if late(SYNC) {
            self.lands_late();
        }
        let (answer, changed) = self.store.apply(txn, self.now);
        if changed {
            self.committed();
        }
        self.plan_expiry();
        let fate = self.net.fate(store, node, &mut self.rng);
        // That an expiry goes on is no news.
        let calls = &mut self.nodes[node].agent.calls;
        let heard = answer.snap.get(MEMBER0 + node).is_some();
        let idle = calls.iter().position(|known| known.number == call && heard && matches!(known.purpose, Purpose::KeepAlive));
        if let Some(index) = idle {
            calls.swap_remove(index);
        } else if let Fate::In(after) = fate {
            self.at(self.now + after, Event::Local { node, life, what: Local::Answer { call, answer } });
        }
    }

    /// The store has changed: checks, and news for every watcher.
    pub fn committed(&mut self) {
        self.check_commit();
        self.patroni_watches();
        let snap = self.store.snap.clone();
        let store = self.net.store();
        for node in 0..self.nodes.len() {
            let here = &self.nodes[node];
            if !here.powered || !here.agent.alive || !here.agent.mirror.watching {
                continue;
            }
            let watch = here.agent.mirror.watch;
            match self.net.fate(store, node, &mut self.rng) {
                Fate::In(after) if after < 3000 * MS => self.later(node, after, Local::Shown { watch, snap: snap.clone() }),
                _ => self.break_watch(node),
            }
        }
    }

    /// The watch of a node ends (cut, compacted); it is made anew by reading all keys.
    pub fn break_watch(&mut self, node: usize) {
        let agent = &mut self.nodes[node].agent;
        if !agent.alive || !agent.mirror.watching {
            return;
        }
        agent.mirror.watching = false;
        agent.mirror.watch += 1;
        let watch = agent.mirror.watch;
        let noticed = self.rng.range(5 * MS, 1500 * MS);
        self.later(node, noticed, Local::Relist { watch });
    }

    /// Reads all keys and watches from there.
    pub fn relist(&mut self, node: usize, watch: u32) {
        if self.nodes[node].agent.mirror.watch == watch && !self.nodes[node].agent.mirror.watching {
            let attempt = self.ttl(node) / 5;
            self.call(node, Purpose::Relist { watch }, Txn::default(), attempt);
        }
    }

    fn relisted(&mut self, node: usize, watch: u32, answer: Option<Answer>) {
        let agent = &mut self.nodes[node].agent;
        if agent.mirror.watch != watch {
            return;
        }
        let Some(answer) = answer else {
            let pause = self.rng.range(50 * MS, 500 * MS);
            return self.later(node, pause, Local::Relist { watch });
        };
        agent.mirror.watching = true;
        self.slowed("a first view of the store", 0);
        let agent = &mut self.nodes[node].agent;
        let back = agent.mirror.snap.as_ref().is_some_and(|known| answer.snap.revision < known.revision);
        if back {
            agent.mirror.history += 1;
            agent.mirror.snap = None;
        }
        if let Some(restore) = &mut self.checks.restore {
            // What it knew the store has forgotten, and come past it since.
            restore.blind[node] |= !back && !restore.read[node];
            restore.read[node] = true;
        }
        self.take_in(node, answer.snap);
        // Whatever was committed between the read and the watch comes with the watch.
        if self.store.snap.revision != self.nodes[node].agent.mirror.snap.as_ref().map_or(0, |snap| snap.revision) {
            let watch = self.nodes[node].agent.mirror.watch;
            let snap = self.store.snap.clone();
            self.later(node, 2 * MS, Local::Shown { watch, snap });
        }
    }

    /// The watch shows newer keys.
    pub fn shown(&mut self, node: usize, watch: u32, snap: Rc<Snap>) {
        let mirror = &self.nodes[node].agent.mirror;
        if mirror.watch == watch && mirror.snap.as_ref().is_none_or(|known| known.revision < snap.revision) {
            self.take_in(node, snap);
        }
    }

    fn take_in(&mut self, node: usize, snap: Rc<Snap>) {
        let now = self.reading(node);
        let agent = &mut self.nodes[node].agent;
        let known = agent.mirror.snap.as_ref().map(|known| known.revision_of(LEASE));
        if known != Some(snap.revision_of(LEASE)) {
            agent.mirror.received = now;
        }
        agent.mirror.snap = Some(snap.clone());
        self.checks.terms.shows(node, agent.life, &snap, now);
        let (history, received) = (agent.mirror.history, agent.mirror.received);
        agent.keeper.observe(&snap, history, received, now);
        self.effects_hear(node);
        if self.view_changed(node) { self.turn(node) } else { self.glance(node) }
    }

    /// An answer, or none in time.
    pub fn answered(&mut self, node: usize, call: u64, answer: Option<Answer>) {
        let calls = &mut self.nodes[node].agent.calls;
        let Some(index) = calls.iter().position(|known| known.number == call) else { return };
        let Call { purpose, until, .. } = calls.swap_remove(index);
        match purpose {
            Purpose::Lease(lease) => self.lease_answered(node, *lease, answer),
            Purpose::Confirm { asked } => self.confirmed(node, asked, answer),
            Purpose::Relist { watch } => self.relisted(node, watch, answer),
            Purpose::Leader { effect } => {
                let done = answer.is_some_and(|answer| answer.succeeded);
                self.end_effect(node, effect, done);
                self.turn(node);
            }
            Purpose::Member => {
                self.end_effect(node, super::effects::MEMBER, answer.is_some());
                self.turn(node);
            }
            Purpose::KeepAlive => {
                // The expiry was over: the member key is put again on a new one.
                let lost = self.now < until && answer.is_some_and(|answer| answer.snap.get(MEMBER0 + node).is_none());
                if lost && let Some(member) = self.nodes[node].agent.member.clone() {
                    self.put_member(node, member, Purpose::KeepAlive);
                }
            }
        }
    }

    /// Keeps the node's expiry alive, three times per ttl.
    pub fn keep_alive(&mut self, node: usize) {
        let txn = Txn { compares: Vec::new(), then: vec![Op::KeepAlive(node)] };
        if self.options.brisk
            && self.now >= self.store_up_at
            && self.net.is_good(node)
            && self.store.snap.get(MEMBER0 + node).is_some()
        {
            // It arrives, and that it goes on is no news.
            self.store.apply(txn, self.now);
        } else {
            self.call(node, Purpose::KeepAlive, txn, self.ttl(node) / 5);
        }
        // What the store granted it does not change.
        let granted = self.store.granted(node).unwrap_or(u64::MAX).min(self.ttl(node));
        self.later(node, granted / 3, Local::KeepAlive);
    }

    /// A look when the next expiry may end. One that comes too early plans the next.
    pub fn plan_expiry(&mut self) {
        if let Some(next) = self.store.next_expiry().filter(|next| *next < self.expire_at) {
            self.expire_at = next;
            self.at(next, Event::Expire);
        }
    }

    /// Ends of expiries.
    pub fn expire(&mut self) {
        if self.now < self.store_up_at {
            return self.at(self.store_up_at + MS, Event::Expire);
        }
        self.expire_at = u64::MAX;
        if self.store.expire(self.now) {
            self.committed();
        }
        self.plan_expiry();
    }
}
