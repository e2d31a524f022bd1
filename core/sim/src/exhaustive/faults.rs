//! Ends of agents and of machines.

use super::state::State;

impl State {
    /// The agent dies and is started again beside guard and PostgreSQL; it knows nothing.
    pub(super) fn restart(&mut self, place: u8) {
        let node = &mut self.nodes[usize::from(place)];
        node.life += 1;
        node.mind = Default::default();
        (node.view, node.own, node.confirmed) = (None, None, None);
        (node.work, node.worked) = (None, None);
        (node.tried, node.waits, node.asked, node.seen_age) = (false, (false, false), false, 0);
    }

    /// The machine is gone. What was flushed is there when it returns.
    pub(super) fn lose(&mut self, place: u8) {
        self.fence(place);
        self.restart(place);
        let node = &mut self.nodes[usize::from(place)];
        (node.frozen, node.cut, node.down) = (false, false, true);
    }
}
