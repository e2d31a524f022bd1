//! An agent is not busy: whatever it waits for, it decides some times a second and not as fast as it is answered. A step that is refused at
//! once and asked for again at once is an agent that eats a processor beside its database, and says the same for ever.

use crate::{model::clock::SEC, world::World};

/// Turns of one agent within a second of true time. The most that was seen where nothing was wrong is a third of it.
const MOST: u64 = 300;

/// The turns of an agent in the second that runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Busy {
    second: u64,
    turns: u64,
    last: u64,
}

impl World {
    /// At every turn of an agent.
    pub(crate) fn check_busy(&mut self, node: usize) {
        let second = self.now / SEC;
        let busy = &mut self.checks.busy[node];
        if busy.second != second {
            *busy = Busy { second, ..Busy::default() };
        }
        // What an agent that stood still finds waiting it takes in at once.
        if std::mem::replace(&mut busy.last, self.now) == self.now {
            return;
        }
        busy.turns += 1;
        let turns = busy.turns;
        if self.options.eager {
            return;
        }
        self.coverage.busiest = self.coverage.busiest.max(turns);
        if turns > MOST {
            self.violate("busy", format!("{} decides more than {MOST} times a second", self.names[node]));
        }
    }
}
