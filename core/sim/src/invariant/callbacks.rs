//! I6: callbacks are delivered in order, at least once, without gaps; a primary is announced only when it leads and was proved.

use crate::world::World;
use tanist_engine::{Callback, Emission, Role};

impl World {
    /// A callback is handed to the queue.
    pub(crate) fn check_emitted(&mut self, node: usize, emission: &Emission) {
        if emission.role != Role::Primary || emission.callback == Callback::OnStop || self.checks.store_restored {
            return;
        }
        // A machine whose clocks missed a pause, or one on which nobody can fence, still counts on an old lease.
        if self.nodes[node].exempt_until > self.now {
            return;
        }
        if emission.epoch < self.checks.primary_callback {
            let text = format!(
                "{} announces a primary of epoch {} after {}",
                self.names[node], emission.epoch, self.checks.primary_callback
            );
            self.violate("I6", text);
        }
        self.checks.primary_callback = emission.epoch;
        let shown = self
            .store
            .snap
            .face()
            .is_some_and(|face| face.epoch > emission.epoch || face.epoch == emission.epoch && face.name == self.names[node]);
        if !shown {
            let text =
                format!("{} announces itself as primary of epoch {} before the store does", self.names[node], emission.epoch);
            self.violate("I6", text);
        }
    }

    /// A plugin got a callback.
    pub(crate) fn check_delivered(&mut self, node: usize, number: u64, _emission: &Emission) {
        let next = self.checks.delivered[node];
        if number != next && number + 1 != next {
            self.violate("I6", format!("a plugin of {} got callback {number}, expected {next}", self.names[node]));
        }
        self.checks.delivered[node] = next.max(number + 1);
    }
}
