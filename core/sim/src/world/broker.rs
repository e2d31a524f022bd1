//! The agent's side of its plugin: the shipped queue is told, asked and answered. Its chance is its own, so that no other story depends on
//! how often a plugin is called.

use super::{World, event::Local};
use crate::{
    model::{
        broker::Outcome,
        clock::{MS, SEC},
    },
    mutant::Mutant,
};
use tanist_engine::Emission;
use tanist_queue::Delivery;

impl World {
    /// An agent has started.
    pub(super) fn broker_begins(&mut self, node: usize) {
        let now = self.reading(node).boot;
        self.nodes[node].plugin.restart(now);
        self.plan_call(node);
    }

    /// A callback for the plugin.
    pub(super) fn tell_plugin(&mut self, node: usize, emission: Emission) {
        let (now, callback) = (self.reading(node).boot, emission.callback);
        let number = self.nodes[node].plugin.push(emission, now);
        self.check_told(node, number, callback);
        self.plan_call(node);
    }

    fn plan_call(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        let Some(wake) = here.plugin.wake_at() else { return };
        let at = here.clock.when_boot(self.now, wake).max(self.now + 1);
        if at < here.plugin.planned {
            here.plugin.planned = at;
            self.later(node, at - self.now, Local::Call);
        }
    }

    /// The plugin is called, if it is time.
    pub(super) fn call_plugin(&mut self, node: usize) {
        let now = self.reading(node).boot;
        let here = &mut self.nodes[node];
        if here.plugin.planned > self.now {
            return;
        }
        here.plugin.planned = u64::MAX;
        let Some(delivery) = here.plugin.begin(now) else { return self.plan_call(node) };
        let troubled = here.queue.troubled > 0;
        let number = match delivery {
            Delivery::Event(told) => Some(told.number),
            Delivery::Reconcile(_) => None,
        };
        if let Some(number) = number {
            self.check_called(node, number);
        }
        let chance = &mut self.plugin_chance;
        let (outcome, took) = match chance.below(if troubled { 5 } else { 40 }) {
            0 => (Outcome::Failed, chance.range(MS, 50 * MS)),
            1 => (Outcome::Unheard, 2 * SEC),
            2 => (Outcome::HostDied, chance.range(MS, 600 * MS)),
            3 if troubled => (Outcome::Failed, 2 * SEC),
            _ => (Outcome::Done, chance.range(MS, 50 * MS)),
        };
        self.later(node, took, Local::Called { number, outcome });
    }

    /// The call ends.
    pub(super) fn plugin_called(&mut self, node: usize, number: Option<u64>, outcome: Outcome) {
        let now = self.reading(node).boot;
        match number {
            Some(number) if outcome == Outcome::Done => self.check_done(node, number),
            Some(number) => self.check_failed(node, number),
            None => {}
        }
        let drops = outcome == Outcome::Failed && self.options.without(Mutant::QueueDropsFailures);
        self.nodes[node].plugin.ended(if drops { Outcome::Done } else { outcome }, now);
        if outcome == Outcome::HostDied {
            let pause = self.plugin_chance.range(50 * MS, SEC);
            self.later(node, pause, Local::HostUp);
        }
        self.plan_call(node);
    }

    /// Plugins can be called again.
    pub(super) fn host_up(&mut self, node: usize) {
        let now = self.reading(node).boot;
        self.nodes[node].plugin.open(now);
        self.plan_call(node);
    }
}
