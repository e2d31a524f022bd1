//! An agent that stands still between what it has decided and its effect.

use super::{
    World,
    event::{Event, Local, Process},
};
use crate::model::clock::MS;
use tanist_engine::{Action, Job, StartAs};

impl World {
    /// Begins the effects of a decision, unless a fault stops the agent just before it makes something writable.
    pub fn begin_all(&mut self, node: usize, actions: Vec<Action>) {
        let opens = |action: &Action| matches!(action, Action::Run(Job::Promote { .. } | Job::Start(StartAs::Primary { .. })));
        let until = self.trap.filter(|until| *until > self.now + MS && actions.iter().any(opens));
        match until {
            Some(until) => {
                self.trap = None;
                self.say_node(node, || "agent stands still before its effects".into());
                self.later(node, 0, Local::Effects(actions));
                self.freeze(node, &[Process::Agent]);
                self.at(until, Event::Thaw { node });
            }
            None => self.effects(node, actions),
        }
    }

    /// Begins what was decided.
    pub fn effects(&mut self, node: usize, actions: Vec<Action>) {
        let now = self.reading(node);
        for action in actions {
            self.coverage.action(&action);
            self.begin(node, action, now);
        }
    }
}
