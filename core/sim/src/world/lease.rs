//! The transactions of the lease, as the store adapter (`tanist-dcs`, `lease/{acquire,renew,release}.rs`) makes them. One at a time.

use super::{
    World,
    agent::{Call, Purpose},
    effects,
    event::Local,
};
use crate::{
    model::{
        clock::MS,
        guard::Deadline,
        record::Record,
        store::{self, Answer, Kv, Op, Txn, Value},
    },
    mutant::Mutant,
};
use std::{rc::Rc, time::Duration};
use tanist_engine::{Attempt, Handoff, Held, Lease, MemberName, Reading, SyncState};

/// Which call.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Take it.
    Acquire { record: u64, sync_revision: u64, initialize: u64, sync: Option<SyncState>, state: Option<SyncState> },
    /// Keep it.
    Renew { begun: Reading, puts_back: bool },
    /// Give it up.
    Release { handoff: Option<MemberName>, clear_switchover: bool },
}

/// A lease call under way.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseCall {
    /// Which.
    pub kind: Kind,
    /// Tries so far.
    pub tries: u32,
    /// What the present try writes.
    pub record: Option<Record>,
    /// Beside a Patroni: when the expiry was kept alive for this try, which counts from there.
    pub kept: Option<Reading>,
}

/// Tries of acquire and release.
const TRIES: u32 = 3;
/// Tries of a renewal.
const RENEWALS: u32 = 16;

impl World {
    /// Begins a lease call, or lets it wait for the one under way.
    pub fn begin_lease(&mut self, node: usize, kind: Kind) {
        let call = LeaseCall { kind, tries: 0, record: None, kept: None };
        if self.nodes[node].agent.lease_busy {
            return self.nodes[node].agent.lease_waiting.push_back(call);
        }
        self.nodes[node].agent.lease_busy = true;
        self.nodes[node].agent.keeper.in_flight = true;
        self.try_lease(node, call);
    }

    fn end_lease(&mut self, node: usize, effect: usize, done: bool) {
        let agent = &mut self.nodes[node].agent;
        agent.lease_busy = false;
        agent.keeper.in_flight = false;
        self.end_effect(node, effect, done);
        if let Some(call) = self.nodes[node].agent.lease_waiting.pop_front() {
            self.nodes[node].agent.lease_busy = true;
            self.nodes[node].agent.keeper.in_flight = true;
            self.try_lease(node, call);
        }
        self.turn(node);
    }

    fn try_lease(&mut self, node: usize, mut call: LeaseCall) {
        call.tries += 1;
        call.kept = None;
        if self.patroni.is_some() && !matches!(call.kind, Kind::Release { .. }) && !self.options.without(Mutant::BeyondTheExpiry)
        {
            call.kept = Some(self.reading(node));
            let txn = Txn { compares: Vec::new(), then: vec![Op::KeepAlive(node)] };
            return self.send_lease(node, call, txn, self.ttl(node) / 15);
        }
        self.attempt_lease(node, call);
    }

    fn attempt_lease(&mut self, node: usize, call: LeaseCall) {
        match call.kind {
            Kind::Acquire { .. } => self.try_acquire(node, call),
            Kind::Renew { .. } => self.try_renew(node, call),
            Kind::Release { .. } => self.try_release(node, call),
        }
    }

    /// A renewal that failed at once tries again.
    pub fn retry_lease(&mut self, node: usize, call: u64) {
        let calls = &mut self.nodes[node].agent.calls;
        let Some(index) = calls.iter().position(|known| known.number == call) else { return };
        if let Purpose::Lease(lease) = calls.swap_remove(index).purpose {
            self.try_lease(node, *lease);
        }
    }

    fn send_lease(&mut self, node: usize, call: LeaseCall, txn: Txn, timeout: u64) {
        self.call(node, Purpose::Lease(Box::new(call)), txn, timeout);
    }

    /// The attempt, and the ttl that its record says.
    fn begin_attempt(&mut self, node: usize, now: Reading, kept: Option<Reading>) -> (Attempt, Duration) {
        let agent = &mut self.nodes[node].agent;
        let ttl = match self.options.mutant {
            Some(Mutant::ShorterTtlAtOnce) => agent.keeper.ttl,
            _ => agent.keeper.clock.ttl_to_write(now, agent.keeper.ttl),
        };
        let from = kept.unwrap_or(now);
        let attempt = agent.keeper.begin(from, ttl);
        self.checks.terms.sends(node, agent.life, attempt.0, from, ttl);
        (attempt, ttl)
    }

    fn try_acquire(&mut self, node: usize, mut call: LeaseCall) {
        let now = self.reading(node);
        let Kind::Acquire { record, sync_revision, initialize, sync, state } = call.kind.clone() else { return };
        let keeper = &mut self.nodes[node].agent.keeper;
        match keeper.lease(now) {
            Lease::Vacant { record: seen, .. } if seen.0 == record => {}
            _ => return self.end_lease(node, effects::ACQUIRE, true),
        }
        if keeper.barred() {
            return self.end_lease(node, effects::ACQUIRE, false);
        }
        let leader = keeper.leader.as_ref().map_or(0, |leader| leader.revision);
        let (attempt, ttl) = self.begin_attempt(node, now, call.kept);
        let keeper = &mut self.nodes[node].agent.keeper;
        keeper.naming.begun(attempt, None, ttl);
        keeper.take_begun(record, attempt);
        let content = Record {
            holder: keeper.me.clone(),
            nonce: keeper.nonce,
            epoch: None,
            base: keeper.base.1,
            seq: 0,
            ttl,
            released: false,
            attempt: attempt.0,
            sync: state.map(Rc::new),
            failsafe: None,
        };
        let mut txn = Txn {
            compares: vec![
                (store::LEASE, record),
                (store::LEADER, leader),
                (store::BASE, keeper.base.0),
                (store::SYNC, sync_revision),
                (store::INITIALIZE, initialize),
            ],
            then: vec![
                Op::Put(store::LEASE, Value::Lease(content.clone())),
                Op::PutOn(node, store::LEADER, Value::Leader(keeper.me.clone())),
            ],
        };
        if self.options.without(Mutant::AcquireWithoutRecord) {
            txn.compares.clear();
        }
        txn.then.push(Op::Put(store::SYNC, Value::Sync(sync.unwrap_or_default())));
        call.record = Some(content);
        self.send_lease(node, call, txn, self.ttl(node) / 5);
    }

    fn try_renew(&mut self, node: usize, mut call: LeaseCall) {
        let now = self.reading(node);
        let Kind::Renew { begun, .. } = call.kind else { return };
        let left = (self.ttl(node) / 5).saturating_sub(now.most_since(begun).as_nanos() as u64);
        let keeper = &mut self.nodes[node].agent.keeper;
        let Some(mine) = keeper.mine.clone().filter(|_| left > 0 && call.tries <= RENEWALS) else {
            let lost = keeper.mine.is_none();
            return self.end_lease(node, effects::RENEW, lost);
        };
        let whole = keeper.leader.as_ref().is_some_and(|leader| leader.revision == mine.acquisition);
        let (attempt, ttl) = self.begin_attempt(node, now, call.kept);
        let keeper = &mut self.nodes[node].agent.keeper;
        let next = keeper.naming.next();
        let same = mine.record.failsafe.as_deref() == next;
        let failsafe = if same { mine.record.failsafe.clone() } else { next.cloned().map(Rc::new) };
        keeper.naming.begun(attempt, failsafe.as_deref(), ttl);
        let record = Record { seq: mine.record.seq + 1, ttl, attempt: attempt.0, failsafe, ..mine.record };
        let mut compares = vec![(store::LEASE, mine.revision)];
        let mut then = Vec::new();
        let record = if whole {
            compares.push((store::LEADER, mine.acquisition));
            Record { epoch: Some(mine.epoch), ..record }
        } else {
            compares.push((store::LEADER, keeper.leader.as_ref().map_or(0, |leader| leader.revision)));
            compares.push((store::BASE, keeper.base.0));
            then.push(Op::PutOn(node, store::LEADER, Value::Leader(keeper.me.clone())));
            Record { epoch: None, base: keeper.base.1, ..record }
        };
        if self.options.without(Mutant::RenewWithoutCompare) {
            compares.clear();
        }
        if self.options.without(Mutant::RenewWithoutLeaderKey) {
            compares.retain(|(key, _)| *key != store::LEADER);
        }
        then.push(Op::Put(store::LEASE, Value::Lease(record.clone())));
        call.record = Some(record);
        call.kind = Kind::Renew { begun, puts_back: !whole };
        // A part of the time: the next attempt of the same call reaches another member of the store.
        self.send_lease(node, call, Txn { compares, then }, left.min(self.ttl(node) / 15));
    }

    fn try_release(&mut self, node: usize, mut call: LeaseCall) {
        let now = self.reading(node);
        let Kind::Release { handoff, clear_switchover } = call.kind.clone() else { return };
        let keeper = &mut self.nodes[node].agent.keeper;
        let Some(mine) = keeper.mine.clone().filter(|_| call.tries <= TRIES) else {
            return self.end_lease(node, effects::RELEASE, true);
        };
        let (attempt, ttl) = self.begin_attempt(node, now, None);
        let keeper = &mut self.nodes[node].agent.keeper;
        keeper.naming.begun(attempt, None, ttl);
        let record = Record {
            seq: mine.record.seq + 1,
            epoch: Some(mine.epoch),
            released: true,
            attempt: attempt.0,
            failsafe: None,
            ..mine.record
        };
        let leader = keeper.leader.as_ref().map_or(0, |leader| leader.revision);
        let mut then = vec![Op::Put(store::LEASE, Value::Lease(record.clone())), Op::Delete(store::LEADER)];
        if let Some(handoff) = handoff {
            then.push(Op::Put(store::HANDOFF, Value::Handoff(Handoff { to: handoff, epoch: mine.epoch })));
        }
        if clear_switchover {
            then.push(Op::Delete(store::FAILOVER));
        }
        call.record = Some(record);
        let compares = vec![(store::LEASE, mine.revision), (store::LEADER, leader)];
        self.send_lease(node, call, Txn { compares, then }, self.ttl(node) / 5);
    }

    /// The answer to a lease call; nothing: unknown.
    pub fn lease_answered(&mut self, node: usize, mut call: LeaseCall, answer: Option<Answer>) {
        let now = self.reading(node);
        let Some(record) = call.record.take() else {
            return if answer.is_some() { self.attempt_lease(node, call) } else { self.lease_unknown(node, call, None) };
        };
        let attempt = Attempt(record.attempt);
        let Some(answer) = answer else {
            return self.lease_unknown(node, call, Some(attempt));
        };
        let agent = &mut self.nodes[node].agent;
        self.checks.terms.shows(node, agent.life, &answer.snap, now);
        let keeper = &mut agent.keeper;
        if answer.succeeded {
            let leader = answer.snap.get(store::LEADER).cloned();
            return self.lease_written(node, call.kind, record, leader, answer.snap.revision, now);
        }
        keeper.clock.dropped(attempt);
        keeper.take_failed(attempt);
        if self.options.without(Mutant::FailedCompareIsLoss) && matches!(call.kind, Kind::Renew { .. }) {
            keeper.mine = None;
            keeper.clock.lost();
            return self.end_lease(node, effects::RENEW, true);
        }
        keeper.fold(&answer.snap, now, now);
        match &call.kind {
            Kind::Acquire { sync_revision, initialize, .. } => {
                if keeper.mine.is_some() {
                    return self.end_lease(node, effects::ACQUIRE, true);
                }
                let seen = (answer.snap.revision_of(store::SYNC), answer.snap.revision_of(store::INITIALIZE));
                if seen != (*sync_revision, *initialize) || call.tries >= TRIES {
                    return self.end_lease(node, effects::ACQUIRE, false);
                }
                self.try_lease(node, call);
            }
            Kind::Renew { .. } | Kind::Release { .. } => self.try_lease(node, call),
        }
    }

    fn lease_unknown(&mut self, node: usize, call: LeaseCall, attempt: Option<Attempt>) {
        if self.options.without(Mutant::UnknownIsFailed)
            && let Some(attempt) = attempt
        {
            self.nodes[node].agent.keeper.clock.dropped(attempt);
        }
        match call.kind {
            Kind::Acquire { .. } => self.end_lease(node, effects::ACQUIRE, false),
            Kind::Release { .. } => self.end_lease(node, effects::RELEASE, false),
            Kind::Renew { .. } => {
                let pause = u64::from(call.tries) * 20 * MS;
                let number = self.number();
                self.nodes[node].agent.calls.push(Call { number, purpose: Purpose::Lease(Box::new(call)), until: u64::MAX });
                self.later(node, pause, Local::Retry { call: number });
            }
        }
    }

    fn lease_written(&mut self, node: usize, kind: Kind, record: Record, leader: Option<Kv>, revision: u64, now: Reading) {
        let keeper = &mut self.nodes[node].agent.keeper;
        match kind {
            Kind::Acquire { .. } => {
                let leader = leader.map(|kv| Kv { revision, create: revision, value: Rc::clone(&kv.value), expiry: kv.expiry });
                keeper.wrote(revision, record, leader, now);
                self.count_from_answer(node, now);
                self.end_lease(node, effects::ACQUIRE, true);
            }
            Kind::Renew { puts_back, .. } => {
                let held = keeper.wrote(revision, record, leader.filter(|_| puts_back), now);
                self.count_from_answer(node, now);
                if let Some(held) = held {
                    self.extend_page(node, &held);
                }
                self.end_lease(node, effects::RENEW, true);
            }
            Kind::Release { .. } => {
                keeper.gave_up(revision, record, now);
                self.end_lease(node, effects::RELEASE, true);
            }
        }
    }

    fn count_from_answer(&mut self, node: usize, now: Reading) {
        if self.options.without(Mutant::UntilFromAnswer) {
            let ttl = self.nodes[node].agent.keeper.ttl;
            self.nodes[node].agent.keeper.clock.adopt(now.plus(tanist_engine::holder_term(ttl)));
        }
    }

    /// Moves the guard's deadline to the end of the lease.
    fn extend_page(&mut self, node: usize, held: &Held) {
        let Some(until) = self.nodes[node].agent.keeper.until() else { return };
        let last_armed = self.nodes[node].agent.last_armed;
        let page = &mut self.nodes[node].guard.page;
        if self.options.without(Mutant::ExtendOverFence)
            && let (Deadline::Fenced, Some(permit)) = (page.deadline, last_armed)
        {
            page.deadline = Deadline::Armed(crate::model::guard::Permit { until, ..permit });
        }
        let page = &mut self.nodes[node].guard.page;
        if page.permit().is_some_and(|permit| permit.epoch == held.epoch) {
            // Guard and watchdog look at the old deadline and find the new one.
            page.extend(held.epoch, until);
        }
    }

    /// Asks whether the record that looks over really is.
    pub fn confirm_vacant(&mut self, node: usize) {
        let asked = self.reading(node);
        self.nodes[node].agent.confirming = true;
        self.call(node, Purpose::Confirm { asked }, Txn::default(), self.ttl(node) / 5);
    }

    /// The answer.
    pub fn confirmed(&mut self, node: usize, asked: Reading, answer: Option<Answer>) {
        let now = self.reading(node);
        match answer {
            Some(answer) => {
                let agent = &mut self.nodes[node].agent;
                self.checks.terms.shows(node, agent.life, &answer.snap, now);
                agent.keeper.confirm(&answer.snap, asked, now);
                // A store that has gone back answers and confirms nothing.
                agent.confirming = !self.options.eager && agent.keeper.wants_confirmation(now);
                if agent.confirming { self.later(node, 100 * MS, Local::Confirmed) } else { self.turn(node) }
            }
            None => self.later(node, 100 * MS, Local::Confirmed),
        }
    }
}
