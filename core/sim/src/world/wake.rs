//! When an agent takes its next turn without news. One wake is planned per agent, and it only moves forward.

use super::{
    World,
    agent::Under,
    event::{Event, Local},
};
use std::time::Duration;
use tanist_engine::{Moment, Reading};

impl World {
    /// After a turn: when the next one is due without news.
    pub(super) fn wait(&mut self, node: usize, decided: Moment, now: Reading) {
        let agent = &self.nodes[node].agent;
        if !agent.confirming && agent.keeper.wants_confirmation(now) {
            self.confirm_vacant(node);
        }
        let agent = &self.nodes[node].agent;
        let mut wake = decided;
        if let Some(change) = agent.keeper.next_change(now) {
            wake = wake.min(change.max(now.boot + Duration::from_millis(1)));
        }
        for state in &agent.effects {
            if let Under::Rest(until) | Under::Unshown(until) = state
                && *until > now.boot
            {
                wake = wake.min(*until);
            }
        }
        let wake = wake.max(now.boot + Duration::from_millis(1));
        let at = self.nodes[node].clock.when_boot(self.now, wake);
        let agent = &mut self.nodes[node].agent;
        agent.wake_at = at;
        if at < agent.wake_planned {
            self.plan_wake(node);
        }
    }

    fn plan_wake(&mut self, node: usize) {
        let agent = &mut self.nodes[node].agent;
        agent.wake += 1;
        agent.wake_planned = agent.wake_at;
        let (at, life, wake) = (agent.wake_at, agent.life, agent.wake);
        self.at(at, Event::Local { node, life, what: Local::Wake { wake } });
    }

    /// The planned wake.
    pub(super) fn woken(&mut self, node: usize, wake: u64) {
        let agent = &mut self.nodes[node].agent;
        if agent.wake != wake {
            return;
        }
        agent.wake_planned = u64::MAX;
        if self.now < agent.wake_at { self.plan_wake(node) } else { self.turn(node) }
    }
}
