//! No failover without a cause, and at most one per injected fault.
//!
//! A failover: another node becomes writable than the one that clients wrote to last. Its cause is a fault, or an operator, that concerned
//! that last one, and what a fault leaves behind is over some time after its end: messages that land late, a shutdown that takes long.
//! Of what a lease outlasts (`demotion`) nothing is a cause.

use super::demotion::{concerns, may_end};
use crate::{fault::Fault, model::clock::SEC, world::World};

/// How long after its end a fault may still be the cause.
const AFTERWARDS: u64 = 25 * SEC;

impl World {
    /// A fault begins on a node.
    pub(crate) fn blame(&mut self, node: usize, fault: &Fault) {
        if !may_end(fault.kind) {
            return;
        }
        let until = self.now + fault.span + 2 * self.longest_ttl() + AFTERWARDS;
        for here in (0..self.nodes.len()).filter(|here| concerns(fault.kind, node, *here)) {
            self.checks.blamed[here] = self.checks.blamed[here].max(until);
        }
    }

    /// When a node ceased to be writable.
    fn ended(&self, node: usize) -> u64 {
        if self.can_write(node) { self.now } else { self.checks.ended[node] }
    }

    /// A node has become writable.
    pub(crate) fn check_failover(&mut self, node: usize) {
        // A machine that runs on after a pause by clocks that missed it is no winner of anything.
        if self.nodes[node].exempt_until > self.now || self.store.snap.face().is_none() {
            return;
        }
        let Some(before) = self.checks.last_primary.replace(node).filter(|before| *before != node) else { return };
        if self.checks.store_restored {
            return;
        }
        self.checks.failovers += 1;
        let causes = self.faults.iter().filter(|fault| fault.at <= self.now && may_end(fault.kind)).count();
        let (now, old) = (&self.names[node], &self.names[before]);
        let text = match self.checks.failovers > causes {
            true => {
                format!("failover number {} from {old} to {now} after {causes} faults that can cause one", self.checks.failovers)
            }
            false if self.ended(before) > self.checks.blamed[before] => {
                format!("failover from {old} to {now}, and nothing befell {old}")
            }
            false => return,
        };
        self.violate("cause", text);
    }

    /// Somebody else holds the lease now.
    pub(crate) fn check_cause(&mut self, holder: Option<usize>) {
        let calm = self.longest_ttl() * 4 + AFTERWARDS;
        if self.calm_for() > calm {
            let who = holder.map_or("nobody", |holder| self.names[holder].0.as_str()).to_owned();
            self.violate("cause", format!("{who} took the lease {} ms after the last disturbance", self.calm_for() / 1_000_000));
        }
    }
}
