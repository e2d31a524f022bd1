//! The brisk form: time in which nothing goes on is cut short. Where all has been well for a while and no fault is under way, whatever
//! the schedule has planned next comes soon, and all the rest so much earlier. What happens until then, renewals and client writes, is
//! simulated in the other schedules.

use super::{World, event::Event};
use crate::model::clock::SEC;

/// All has been well, and no fault under way, for so long.
const CALM: u64 = 2 * SEC;

/// It is looked at again after.
const AGAIN: u64 = SEC / 2;

impl World {
    /// Plans the next look at whether anything goes on.
    pub(super) fn plan_calm(&mut self) {
        let over = self.checks.last_disturbance + CALM;
        self.at(over.max(self.now + AGAIN), Event::Calm);
    }

    /// Looks at it.
    pub(super) fn calm(&mut self) {
        if self.healed {
            return;
        }
        if self.now >= self.checks.last_disturbance + CALM && self.well(false).is_ok() {
            self.go_on_soon();
        }
        self.plan_calm();
    }

    /// What is planned next comes within a second.
    fn go_on_soon(&mut self) {
        let ahead = |fault: &&crate::fault::Fault| fault.at > self.now;
        let next = self.faults.iter().filter(ahead).map(|fault| fault.at).min().unwrap_or(self.options.heal_at);
        let earlier = next.saturating_sub(self.now + self.rng.below(SEC));
        if earlier == 0 {
            return;
        }
        self.say(|| format!("--- nothing goes on: {} ms are left out", earlier / 1_000_000));
        self.queue.take_back(|event| matches!(event, Event::Begin(_) | Event::Heal));
        for index in 0..self.faults.len() {
            if self.faults[index].at > self.now {
                self.faults[index].at -= earlier;
                self.at(self.faults[index].at, Event::Begin(index));
            }
        }
        self.options.heal_at -= earlier;
        self.at(self.options.heal_at, Event::Heal);
    }
}
