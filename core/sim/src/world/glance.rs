//! News that cannot change a decision.
//!
//! The shipped agent decides after every message of the watch and every look at PostgreSQL. Most of them only say that time goes on: a
//! lease was renewed, a position has moved. While the last decision asked for nothing, such news need no turn before the moment that
//! decision named, or before a position may be told again. In one schedule of 16 every turn that was saved is decided all the same, and
//! must ask for nothing, remember nothing and have the same reason: a fact that is wrongly taken for idle breaks the invariant `glance`.

use super::World;
use std::time::Duration;
use tanist_engine::{Decision, Lease, Memory, Moment, Policy, Postgres, ServerRole, Timeline, decide};

/// A decision names no moment nearer than 10 ms even when one is: too near to count on.
const TOO_NEAR: Duration = Duration::from_millis(20);

/// What the last decision left, while it asked for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The next turn is due then, whatever the news are.
    until: Moment,
    kind: &'static str,
}

impl Settled {
    /// After a decision; nothing when it asked for something.
    pub fn after(decision: &Decision, policy: &Policy, mine: bool, now: Moment) -> Option<Self> {
        if !decision.actions.is_empty() || decision.wake_at <= now + TOO_NEAR {
            return None;
        }
        // A holder that has not told its position yet does so as soon as it moves.
        let (member, status) = (decision.memory.member_at, decision.memory.status_at);
        let told = if mine { member.min(Some(status?)) } else { member };
        let told = told? + policy.loop_wait;
        Some(Self { until: told.min(decision.wake_at), kind: decision.reason.kind() })
    }
}

/// The same holder under the same epoch, with no less time.
fn only_renewed(known: &Lease, lease: &Lease) -> bool {
    match (known, lease) {
        (Lease::Theirs(known), Lease::Theirs(theirs)) => {
            known.epoch == theirs.epoch
                && known.twin == theirs.twin
                && known.vacant_at <= theirs.vacant_at
                && known.holder == theirs.holder
        }
        _ => false,
    }
}

/// So near to the end of somebody's lease that questions are asked ahead. A slewed clock moves that end without any news.
fn runs_out(lease: &Lease, now: Moment, ttl: u64) -> bool {
    matches!(lease, Lease::Theirs(theirs) if now + Duration::from_nanos(ttl / 2) >= theirs.vacant_at)
}

/// A standby on the leader's timeline whose positions have moved and nothing else.
pub fn only_moved(known: &Postgres, found: &Postgres, led_on: Option<Timeline>) -> bool {
    let (Postgres::Running(known), Postgres::Running(found)) = (known, found) else { return false };
    let (
        ServerRole::Standby { position: Some(before), replayed: _, upstream: from, streaming: true, slot_differs: false },
        ServerRole::Standby { position: Some(now), replayed: _, upstream: to, streaming: true, slot_differs: false },
    ) = (&known.role, &found.role)
    else {
        return false;
    };
    Some(now.timeline) == led_on && before.timeline == now.timeline && before.opened_by == now.opened_by && from == to
}

impl World {
    /// Idle news: a turn only where it may differ from the last one.
    pub fn glance(&mut self, node: usize) {
        let now = self.reading(node);
        let agent = &self.nodes[node].agent;
        let Some(settled) = agent.settled.filter(|settled| now.boot < settled.until) else { return self.turn(node) };
        let marks_known = agent.memory.marked.len() == agent.seen.store.data.len();
        if agent.seen.job.is_some() || !marks_known || self.see_failsafe(node) {
            return self.turn(node);
        }
        let agent = &self.nodes[node].agent;
        let guard = agent.seen.guard;
        if let Lease::Mine(known) = &agent.seen.lease {
            if !agent.keeper.is_still(known, now) {
                return self.turn(node);
            }
            let agent = &mut self.nodes[node].agent;
            let lease = std::mem::replace(&mut agent.seen.lease, Lease::Unknown);
            self.observe_lease(node, lease);
        } else {
            let lease = agent.keeper.lease(now);
            if !only_renewed(&agent.seen.lease, &lease) || runs_out(&lease, now.boot, self.ttl(node)) {
                return self.turn(node);
            }
            self.observe_lease(node, lease);
        }
        self.check_terms(node, now);
        let agent = &self.nodes[node].agent;
        if agent.seen.guard != guard {
            return self.turn(node);
        }
        if self.options.second_looks {
            self.check_glance(node, settled, now.boot);
        }
    }

    /// The turn that was saved would not have done anything.
    fn check_glance(&mut self, node: usize, settled: Settled, now: Moment) {
        let agent = &self.nodes[node].agent;
        let decision = decide(&agent.policy, &agent.memory, &agent.seen, now);
        let same = |memory: &Memory| *memory == agent.memory;
        if decision.actions.is_empty() && same(&decision.memory) && decision.reason.kind() == settled.kind {
            return;
        }
        let text = format!("{} would have decided: {} {:?}", self.names[node], decision.reason, decision.actions);
        self.violate("glance", text);
    }
}
