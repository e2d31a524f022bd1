//! Who looks from outside: the DNS server of every node, and the plugin that has to see every callback.

use super::{World, event::Local};
use crate::{
    model::{
        clock::{MS, SEC},
        plugins::Attempt,
    },
    mutant::Mutant,
};
use tanist_engine::{Emission, Epoch, Lease};

impl World {
    /// What the node's DNS server answers now (the rule of the agent's connection point): a face counts while the lease has its holder
    /// and its epoch.
    pub fn show_names(&mut self, node: usize) {
        let seen = &self.nodes[node].agent.seen;
        let Some(face) = &seen.store.primary else { return };
        let believed = match &seen.lease {
            Lease::Mine(held) => held.epoch == face.epoch && face.name == seen.me,
            Lease::Theirs(theirs) => theirs.epoch == face.epoch && theirs.holder == face.name,
            Lease::Unknown | Lease::Vacant { .. } => false,
        };
        let believed = believed || self.options.without(Mutant::FaceAlwaysBelieved);
        if believed {
            let epoch = face.epoch;
            if let Some(named) = self.find(&face.name) {
                self.check_named(node, named, epoch);
            }
        }
    }

    /// A callback for the plugins of this node.
    pub fn emit(&mut self, node: usize, emission: Emission) {
        self.check_emitted(node, &emission);
        self.check_order(node, &emission);
        self.tell_plugin(node, emission.clone());
        let queue = &mut self.nodes[node].queue;
        queue.push(emission);
        if !queue.busy {
            self.deliver(node);
        }
    }

    /// An attempt to deliver the oldest callback.
    pub fn deliver(&mut self, node: usize) {
        let queue = &mut self.nodes[node].queue;
        let Some((number, _)) = queue.waiting.front() else { return };
        if queue.busy {
            return;
        }
        queue.busy = true;
        let number = *number;
        let troubled = queue.troubled > 0;
        let (attempt, took) = match self.rng.below(if troubled { 4 } else { 40 }) {
            0 => (Attempt::Failed, self.rng.range(MS, 50 * MS)),
            1 => (Attempt::AnswerLost, 2 * SEC),
            2 if troubled => (Attempt::Failed, 5 * SEC),
            _ => (Attempt::Ok, self.rng.range(MS, 50 * MS)),
        };
        self.later(node, took, Local::Delivered { number, attempt });
    }

    /// It ends.
    pub fn delivered(&mut self, node: usize, number: u64, attempt: Attempt) {
        if attempt != Attempt::Failed {
            let emission = self.nodes[node].queue.waiting.front().map(|(_, emission)| emission.clone());
            if let Some(emission) = emission {
                self.check_delivered(node, number, &emission);
            }
        }
        let ended =
            if attempt == Attempt::Failed && self.options.without(Mutant::QueueDropsFailures) { Attempt::Ok } else { attempt };
        if let Some(pause) = self.nodes[node].queue.ended(ended) {
            self.later(node, pause + MS, Local::Deliver);
        }
    }

    /// The epoch under which a node was last writable.
    pub fn writable_epoch(&self, node: usize) -> Epoch {
        self.nodes[node].pg.writable_epoch
    }
}
