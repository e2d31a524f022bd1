//! The plugin queue of one node: a journal that outlives the agent, delivery in order, at least once, retried with back-off.
//!
//! A model of the broker's queue for one plugin without an own opinion on coalescing: every callback is delivered.

use super::clock::MS;
use std::collections::VecDeque;
use tanist_engine::Emission;

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Delivered and answered.
    Ok,
    /// Not delivered.
    Failed,
    /// Delivered, the answer was lost: delivered again.
    AnswerLost,
}

/// One node's queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// Waiting, oldest first, with their numbers.
    pub waiting: VecDeque<(u64, Emission)>,
    /// The next number.
    pub next: u64,
    /// Failed attempts of the first in a row.
    pub failures: u32,
    /// An attempt is under way, of this agent.
    pub busy: bool,
    /// Plugins fail, per active fault.
    pub troubled: u16,
}

impl Queue {
    /// Journals a callback. Returns its number.
    pub fn push(&mut self, emission: Emission) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back((number, emission));
        number
    }

    /// An attempt has ended; how long the next one waits, if there is one.
    pub fn ended(&mut self, attempt: Attempt) -> Option<u64> {
        self.busy = false;
        match attempt {
            Attempt::Ok => {
                self.waiting.pop_front();
                self.failures = 0;
            }
            Attempt::Failed | Attempt::AnswerLost => self.failures += 1,
        }
        let pause = if self.failures == 0 { 0 } else { (100 * MS) << self.failures.min(5) };
        (!self.waiting.is_empty()).then_some(pause)
    }
}
