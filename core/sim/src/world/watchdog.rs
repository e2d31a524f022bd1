//! The agent's watch over the guard: it fences in the guard's place when that is late, silent or dead.

use super::{World, event::Local, lease::Kind};
use crate::{
    model::{
        clock::{MS, SEC},
        guard::{BEHIND_GUARD, Deadline},
        postgres::Server,
    },
    mutant::Mutant,
};
use tanist_engine::{FenceState, Lease};

/// Between two looks at the guard's heartbeat.
const LOOK: u64 = 100 * MS;

impl World {
    /// Plans the next look of the agent's watch over the guard.
    pub fn plan_watchdog(&mut self, node: usize) {
        if !self.nodes[node].agent.alive {
            return;
        }
        let here = &self.nodes[node];
        let Deadline::Armed(permit) = here.guard.page.deadline else { return };
        let margin = std::time::Duration::from_nanos(here.guard.page.budget.saturating_sub(BEHIND_GUARD));
        let at = here
            .clock
            .when_boot(self.now, permit.until.boot.minus(margin))
            .min(here.clock.when_raw(self.now, permit.until.raw.minus(margin)));
        let late = self.rng.range(0, 20 * MS);
        self.look_at_guard(node, at.saturating_sub(self.now) + late);
    }

    fn look_at_guard(&mut self, node: usize, after: u64) {
        let agent = &mut self.nodes[node].agent;
        agent.watchdog += 1;
        let look = agent.watchdog;
        self.later(node, after, Local::Watchdog { look });
    }

    /// The guard has stopped, died or come back: the agent sees its end when its thread runs, all else within one look.
    pub fn watch_guard(&mut self, node: usize) {
        if self.nodes[node].agent.alive {
            let soon = self.rng.range(MS, LOOK / 2);
            let after = if self.nodes[node].guard.alive { soon * 2 } else { soon };
            self.look_at_guard(node, after);
        }
    }

    /// One look at the guard.
    pub fn watchdog(&mut self, node: usize, look: u64) {
        if self.nodes[node].agent.watchdog != look || self.options.without(Mutant::NoWatchdog) {
            return;
        }
        let now = self.reading(node);
        let here = &mut self.nodes[node];
        if !here.guard.alive {
            return self.begin_own_fence(node, true);
        }
        match here.guard.page.deadline {
            Deadline::Armed(permit) => here.agent.last_armed = Some(permit),
            Deadline::Unarmed => here.agent.last_armed = None,
            Deadline::Fenced => {}
        }
        let done = here.guard.page.fence == FenceState::Complete
            || here.agent.own_fence == 2 && here.agent.has_fenced(here.guard.page.fences);
        if done || here.guard.page.deadline == Deadline::Unarmed {
            return;
        }
        let last_armed = here.agent.last_armed;
        let margin = self.margin(node).saturating_sub(BEHIND_GUARD);
        let left = last_armed.map_or(0, |permit| self.permit_left(node, &permit, margin));
        let here = &self.nodes[node];
        if left == 0 {
            return self.begin_own_fence(node, false);
        }
        let Some(stood) = here.guard.stood_still_at else { return self.plan_watchdog(node) };
        let patience = (self.ttl(node) / 5).min(SEC);
        let silent = now.boot.since(stood).as_nanos() as u64 > patience && now.boot.as_nanos() >= here.agent.lenient_until;
        if silent {
            return self.begin_own_fence(node, false);
        }
        self.look_at_guard(node, left.min(LOOK));
    }

    fn begin_own_fence(&mut self, node: usize, dead_guard: bool) {
        let here = &mut self.nodes[node];
        here.agent.own_fence = 1;
        here.agent.own_fence_at = here.guard.page.fences;
        self.say_node(node, || "agent fences in the guard's place".into());
        let took = self.rng.range(5 * MS, 100 * MS);
        self.later(node, took, Local::OwnFence { stage: 1, dead_guard });
    }

    /// The agent's own fence goes on.
    pub fn own_fence(&mut self, node: usize, stage: u8, dead_guard: bool) {
        if stage == 1 {
            if self.nodes[node].pg.server != Server::Down {
                self.crash_postgres(node);
                self.postmaster_died(node);
            }
            self.nodes[node].writer = None;
            let took = self.rng.range(10 * MS, 300 * MS);
            return self.later(node, took, Local::OwnFence { stage: 2, dead_guard });
        }
        self.nodes[node].agent.own_fence = 2;
        self.fence_reported(node);
        self.turn(node);
        if dead_guard {
            let now = self.reading(node);
            if let Lease::Mine(_) = self.nodes[node].agent.keeper.lease(now) {
                self.begin_lease(node, Kind::Release { handoff: None, clear_switchover: false });
            }
            self.later(node, 300 * MS, Local::Exit { dead_guard: true });
        } else {
            self.watch_guard(node);
        }
    }
}
