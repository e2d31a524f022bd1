//! I6, what an agent tells its plugins of its node: one `on_start`, then role changes, each from the role told before to another one, then
//! perhaps one `on_stop`, which repeats the last. Who is told not to be a primary can write nothing. In the end everybody was told what it
//! is.

use crate::world::World;
use std::fmt::Display;
use tanist_engine::{Callback, Emission, Epoch, Role};

/// The last that was told of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// By this start of the agent.
    life: u32,
    role: Role,
    epoch: Epoch,
    stopped: bool,
}

/// What is wrong with what is told next by the same agent.
fn wrong(before: &Told, emission: &Emission) -> Option<&'static str> {
    let Emission { callback, role, previous, epoch } = emission;
    let same = (*role, *epoch) == (before.role, before.epoch);
    Some(match callback {
        _ if before.stopped => "after on_stop",
        _ if *previous != before.role => "from a role that was not told",
        Callback::OnStart if before.role != Role::Uninitialized => "once more",
        Callback::OnRoleChange | Callback::OnRestart if before.role == Role::Uninitialized => "before on_start",
        Callback::OnRoleChange | Callback::OnStart if *role == before.role => "and changes nothing",
        Callback::OnStop if !same => "with another role or epoch than was told last",
        Callback::OnRestart if *role != before.role => "with another role than was told last",
        Callback::OnRoleChange if *role == Role::Demoted && before.role != Role::Primary => "and was no primary",
        Callback::OnRoleChange if *role == Role::Demoted && *epoch != before.epoch => "of another epoch than it was a primary of",
        _ => return None,
    })
}

impl World {
    /// A callback is handed to the queues.
    pub(crate) fn check_order(&mut self, node: usize, emission: &Emission) {
        let life = self.nodes[node].agent.life;
        let before = Some(self.checks.told[node]).filter(|told| told.life == life).unwrap_or(Told { life, ..Told::default() });
        let Emission { callback, role, epoch, .. } = emission;
        self.checks.told[node] = Told { life, role: *role, epoch: *epoch, stopped: *callback == Callback::OnStop };
        let tell = |why: &dyn Display| format!("{} tells {callback} ({role}, epoch {epoch}) {why}", self.names[node]);
        // On such a node nobody can know.
        let blind = self.nodes[node].exempt_until > self.now;
        // An agent that starts while a promotion ends tells what it finds.
        let starts = *callback == Callback::OnStart;
        let writes = (*role != Role::Primary || *callback == Callback::OnStop) && self.can_write(node) && !blind && !starts;
        let text = wrong(&before, emission).map(|why| tell(&why)).or_else(|| writes.then(|| tell(&"and can write")));
        if let Some(text) = text {
            self.violate("I6", text);
        }
    }

    /// The agent ends on purpose: whoever was told of the node was told that too.
    pub(crate) fn check_exit(&mut self, node: usize) {
        let told = self.checks.told[node];
        if told.life == self.nodes[node].agent.life && told.role != Role::Uninitialized && !told.stopped {
            let text = format!("{} ends as {} and has not told on_stop", self.names[node], told.role);
            self.violate("I6", text);
        }
    }

    /// The agent that runs has told that its node is this.
    pub(super) fn has_told(&self, node: usize, role: Role) -> bool {
        let told = self.checks.told[node];
        (told.life, told.role, told.stopped) == (self.nodes[node].agent.life, role, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(callback: Callback, previous: Role, role: Role, epoch: u64) -> Emission {
        Emission { callback, role, previous, epoch: Epoch(epoch) }
    }

    #[test]
    fn each_follows_from_the_last() {
        use Callback::{OnRestart, OnRoleChange, OnStart, OnStop};
        use Role::{Demoted, Primary, Replica, Uninitialized};
        let nothing = Told::default();
        let primary = Told { role: Primary, epoch: Epoch(7), ..nothing };
        for (before, next, why) in [
            (nothing, told(OnStart, Uninitialized, Replica, 0), None),
            (nothing, told(OnRoleChange, Uninitialized, Replica, 0), Some("before on_start")),
            (primary, told(OnStart, Primary, Replica, 0), Some("once more")),
            (primary, told(OnRoleChange, Primary, Demoted, 7), None),
            (primary, told(OnRoleChange, Primary, Demoted, 6), Some("of another epoch than it was a primary of")),
            (primary, told(OnRoleChange, Replica, Demoted, 7), Some("from a role that was not told")),
            (primary, told(OnStop, Primary, Primary, 7), None),
            (primary, told(OnRestart, Primary, Primary, 7), None),
            (primary, told(OnRestart, Primary, Replica, 8), Some("with another role than was told last")),
            (nothing, told(OnRestart, Uninitialized, Uninitialized, 0), Some("before on_start")),
            (primary, told(OnStop, Primary, Primary, 8), Some("with another role or epoch than was told last")),
            (Told { stopped: true, ..primary }, told(OnStop, Primary, Primary, 7), Some("after on_stop")),
        ] {
            assert_eq!(wrong(&before, &next), why, "{next:?}");
        }
    }
}
