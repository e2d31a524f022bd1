//! Where the schedules of a family part.

use super::{World, event::Event};
use crate::{
    branching::{Tail, WAYS},
    model::clock::SEC,
};

/// What is ahead of a schedule at its partings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partings {
    /// What happens in the place of the faults that have not begun, at each.
    pub tails: [Option<Tail>; WAYS.len()],
    /// The next one.
    pub next: usize,
    /// It is when this fault begins, or everything heals.
    pub fault: usize,
    /// The event that waits for it.
    pub held: Option<(u64, Event)>,
}

impl World {
    /// The schedules of the family part before this event.
    pub(super) fn parts_at(&self, event: &Event) -> bool {
        self.partings.next < WAYS.len()
            && match event {
                Event::Begin(index) => *index >= self.partings.fault,
                Event::Heal => true,
                _ => false,
            }
    }

    /// Goes its way at a parting, which is now. The event that comes then, unless something else is to happen in its place.
    pub(super) fn part(&mut self, event: Event) -> Option<Event> {
        let begun = match event {
            Event::Begin(index) => index,
            _ => self.faults.len(),
        };
        let tail = self.partings.tails[self.partings.next].take();
        self.partings.next += 1;
        let other = tail.is_some_and(|tail| self.turn_off(begun, &tail));
        let left = self.faults.len() - begun;
        self.partings.fault = begun + left.div_ceil(2);
        (!other).then_some(event)
    }

    /// Chance is another one from here on, and so is what goes wrong, where there is room for it.
    fn turn_off(&mut self, begun: usize, tail: &Tail) -> bool {
        self.rng = self.rng.fork(tail.chance);
        self.plugin_chance = self.plugin_chance.fork(tail.chance);
        // One of the family shows that nothing happens for long.
        (self.options.whole, self.options.watched) = (false, false);
        let over = self.faults[..begun].iter().map(|fault| fault.at + fault.span).max().unwrap_or(0);
        let Some((heal_at, faults)) = tail.planned(self.now) else { return false };
        // Not before what has begun is over.
        let heal_at = heal_at.max(over + SEC);
        self.say(|| "--- here the schedules of the family part".into());
        self.queue.take_back(|event| matches!(event, Event::Begin(_) | Event::Heal));
        self.faults.truncate(begun);
        for fault in faults {
            self.at(fault.at, Event::Begin(self.faults.len()));
            self.faults.push(fault);
        }
        if !std::mem::replace(&mut self.options.brisk, true) {
            self.plan_calm();
        }
        self.options.heal_at = heal_at;
        self.at(heal_at, Event::Heal);
        true
    }
}
