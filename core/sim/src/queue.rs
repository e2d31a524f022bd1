//! What is planned, in the order in which it happens: by time, and at one time in the order of planning.
//!
//! Keys are sorted apart from the events, which are large and would be moved at every step of the heap.

use crate::world::event::Event;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Bits of a key that name the slot; above them counts the number of the plan, above that the time.
const SLOT_BITS: u32 = 20;

fn slot_of(key: u128) -> usize {
    (key as u32 & ((1 << SLOT_BITS) - 1)) as usize
}

/// The planned events.
#[derive(Clone, Debug)]
pub struct Queue {
    keys: BinaryHeap<Reverse<u128>>,
    slots: Vec<Option<Event>>,
    free: Vec<u32>,
    pushed: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { keys: BinaryHeap::with_capacity(256), slots: Vec::with_capacity(256), free: Vec::with_capacity(256), pushed: 0 }
    }
}

impl Queue {
    /// Plans an event.
    pub fn push(&mut self, at: u64, event: Event) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                self.slots.len() as u32 - 1
            }
        };
        assert!(slot < 1 << SLOT_BITS, "more is planned than a schedule can plan");
        self.pushed += 1;
        self.keys.push(Reverse(u128::from(at) << 64 | u128::from(self.pushed << SLOT_BITS | u64::from(slot))));
    }

    /// Takes back what is of that kind.
    pub fn take_back(&mut self, kind: impl Fn(&Event) -> bool) {
        let mut keys = std::mem::take(&mut self.keys).into_vec();
        keys.retain(|Reverse(key)| {
            let slot = &mut self.slots[slot_of(*key)];
            let goes = slot.as_ref().is_some_and(&kind);
            if goes {
                *slot = None;
                self.free.push(slot_of(*key) as u32);
            }
            !goes
        });
        self.keys = keys.into();
    }

    /// The next one and its time.
    pub fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse(key) = self.keys.pop()?;
        let slot = slot_of(key);
        self.free.push(slot as u32);
        let event = self.slots[slot].take()?;
        Some(((key >> 64) as u64, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_and_then_in_the_order_of_planning() {
        let mut queue = Queue::default();
        for (at, index) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            queue.push(at, Event::Begin(index));
        }
        let mut order = Vec::new();
        while let Some((at, Event::Begin(index))) = queue.pop() {
            order.push((at, index));
            if order.len() == 1 {
                queue.push(4, Event::Begin(4));
            }
        }
        assert_eq!(order, [(3, 1), (3, 3), (4, 4), (5, 0), (5, 2)]);
    }

    #[test]
    fn what_is_taken_back_does_not_happen() {
        let mut queue = Queue::default();
        for (at, index) in [(5, 0), (3, 1), (6, 2)] {
            queue.push(at, Event::Begin(index));
            queue.push(at, Event::Check);
        }
        queue.take_back(|event| matches!(event, Event::Begin(index) if *index != 2));
        queue.push(4, Event::Begin(3));
        let mut left = Vec::new();
        while let Some((at, event)) = queue.pop() {
            left.push((at, matches!(event, Event::Begin(_))));
        }
        assert_eq!(left, [(3, false), (4, true), (5, false), (6, true), (6, false)]);
    }
}
