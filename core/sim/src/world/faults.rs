//! Faults and operators at work, and the healing of everything.

use super::{
    World,
    event::{Event, PROCESSES, Process},
    view,
};
use crate::{
    fault::{Fault, Kind},
    invariant::Restore,
    model::{
        clock::{MS, SEC},
        config::Config,
        store::{self, Op, Txn, Value},
    },
};
use tanist_engine::{MemberName, SyncMode};

impl World {
    /// Who holds the lease record now.
    pub fn leader(&self) -> Option<usize> {
        self.store.snap.record().filter(|(record, _)| !record.released).and_then(|(record, _)| self.find(&record.holder))
    }

    /// A fault begins.
    pub fn begin_fault(&mut self, index: usize) {
        let fault = self.faults[index];
        let node = fault.node.unwrap_or_else(|| self.leader().unwrap_or(0));
        self.faults[index].node = Some(node);
        self.coverage.fault(fault.kind);
        self.checks.disturbed(self.now + fault.span);
        self.say(|| format!("--- {}", Fault { node: Some(node), ..fault }));
        self.harm(node, &fault);
        self.blame(node, &fault);
        self.shake(node, &fault);
        self.begin_alone(node, &fault);
        self.apply(node, &fault, true);
        if lasting(fault.kind) {
            self.at(self.now + fault.span, Event::End(index));
        }
    }

    /// It ends.
    pub fn end_fault(&mut self, index: usize) {
        let fault = self.faults[index];
        let Some(node) = fault.node else { return };
        self.say(|| format!("--- end of {fault}"));
        self.apply(node, &fault, false);
        self.checks.disturbed(self.now);
    }

    fn apply(&mut self, node: usize, fault: &Fault, on: bool) {
        let store = self.net.store();
        let nodes = self.nodes.len();
        let other = (node + 1 + (fault.choice as usize) % (nodes - 1)) % nodes;
        match fault.kind {
            Kind::CutFromStore => {
                self.net.cut(node, store, on);
                self.net.cut(store, node, on);
                self.cut_watch(node, on);
            }
            Kind::CutRequests => self.net.cut(node, store, on),
            Kind::CutAnswers => {
                self.net.cut(store, node, on);
                self.cut_watch(node, on);
            }
            Kind::CutNodes => self.cut_pair(node, other, on),
            Kind::CutOneWay => {
                self.net.cut(node, other, on);
                if on {
                    self.link_cut(node, other);
                }
            }
            Kind::Isolate => {
                self.net.cut(node, store, on);
                self.net.cut(store, node, on);
                self.cut_watch(node, on);
                for peer in (0..nodes).filter(|peer| *peer != node) {
                    self.cut_pair(node, peer, on);
                }
            }
            Kind::SlowStore => self.net.slow(node, on),
            Kind::LossyStore => self.net.lossy(node, on),
            Kind::StoreDown => self.store_up_at = self.store_up_at.max(self.now + fault.span),
            Kind::StoreElection => {
                self.store_up_at = self.store_up_at.max(self.now + fault.span.min(2 * SEC));
                self.store.elect(self.now);
            }
            Kind::WatchGap => self.break_watch(node),
            Kind::LeaderKeyDeleted => {
                if self.store.delete(store::LEADER, self.now) {
                    self.committed();
                }
            }
            Kind::Restore if on => self.store.back_up(),
            Kind::Restore => self.restore_store(),
            Kind::AgentKill => self.kill_agent(node),
            Kind::AgentPause => self.stop_or_go(node, &[Process::Agent], on),
            Kind::GuardPause => self.stop_or_go(node, &[Process::Guard], on),
            Kind::GuardKill => {
                if self.nodes[node].guard.alive {
                    self.kill_guard(node);
                }
            }
            Kind::GuardAndAgentPause => self.stop_or_go(node, &[Process::Agent, Process::Guard], on),
            Kind::PostgresKill => {
                self.crash_postgres(node);
                self.postmaster_died(node);
            }
            Kind::PostgresHang => {
                self.stop_or_go(node, &[Process::Postgres], on);
                self.kick(node);
            }
            Kind::Freeze => self.stop_or_go(node, &PROCESSES, on),
            Kind::VmPause => self.pause_vm(node, on),
            Kind::PowerLoss if on => self.power_off(node),
            Kind::PowerLoss => self.power_on(node),
            Kind::Slew => {
                let ppm = if on { (fault.choice % 200_001) as i64 - 100_000 } else { 0 };
                self.nodes[node].clock.slew(self.now, ppm);
                self.plan_guard_look(node);
                self.plan_watchdog(node);
            }
            Kind::SlowFence => self.slow(node, 0, on),
            Kind::SlowPromote => (0..nodes).for_each(|node| self.slow(node, 1, on)),
            Kind::SlowStop => self.slow(node, 2, on),
            Kind::SlowStart => self.slow(node, 3, on),
            Kind::CopyFails => (0..nodes).for_each(|node| self.slow(node, 4, on)),
            Kind::Switchover => self.ask_switchover(other, fault.choice),
            Kind::Mode => self.change_mode(fault.choice),
            Kind::LeaderKeyTaken => self.take_leader_key(on),
            Kind::LosesWrites => self.net.lose_writes(node, LOSABLE[fault.choice as usize % LOSABLE.len()], on),
            Kind::ReplayPaused => (0..nodes).for_each(|node| self.pause_replay(node, on)),
            Kind::ReplayBlocked => (0..nodes).for_each(|node| self.hold_replay(node, |replay| &mut replay.blocked, on)),
            Kind::StartupFrozen => self.hold_replay(node, |replay| &mut replay.frozen, on),
            Kind::DirectoryLost => self.take_directory(node, false),
            Kind::DirectoryReplaced if on => self.back_up_directory(node),
            Kind::DirectoryReplaced => self.take_directory(node, true),
            Kind::Ttl => self.change_ttl(fault.choice),
            Kind::Failsafe => self.switch_failsafe(),
            // Every fourth asks for a restart of PostgreSQL instead.
            Kind::StopService if fault.choice.is_multiple_of(4) => self.ask_restart(node, on),
            Kind::StopService if on => {
                if self.nodes[node].agent.alive {
                    self.nodes[node].stop_wanted = true;
                    self.nodes[node].agent.seen.stopping = true;
                    self.nodes[node].agent.settled = None;
                    self.wake_agent(node);
                }
            }
            Kind::StopService => {
                self.nodes[node].stop_wanted = false;
                self.nodes[node].out_of_service = false;
                if !self.nodes[node].guard.alive {
                    self.start_guard(node);
                }
            }
            Kind::PluginTrouble => {
                let troubled = &mut self.nodes[node].queue.troubled;
                *troubled = if on { *troubled + 1 } else { troubled.saturating_sub(1) };
            }
            Kind::CancelWaits => self.cancel_waits(node),
            Kind::SlowReload => (0..nodes).for_each(|node| self.slow(node, 5, on)),
            Kind::SlowReplication => (0..nodes).for_each(|node| self.slow(node, 6, on)),
            Kind::StorageHang | Kind::StorageFull => self.storage_fault(node, fault.kind, on),
            Kind::PauseBeforeOpening => self.trap = on.then_some(fault.at + fault.span),
        }
    }

    fn ask_restart(&mut self, node: usize, on: bool) {
        if self.nodes[node].agent.alive {
            self.nodes[node].agent.seen.restart = on.then(|| self.nodes[node].clock.read(self.now).boot);
            self.nodes[node].agent.settled = None;
            self.wake_agent(node);
        }
    }

    fn wake_agent(&mut self, node: usize) {
        let turns = self.nodes[node].agent.turns;
        self.later(node, MS, super::event::Local::Nudge { turns });
    }

    fn cut_watch(&mut self, node: usize, on: bool) {
        if on {
            self.break_watch(node);
        }
    }

    fn cut_pair(&mut self, one: usize, other: usize, on: bool) {
        self.net.cut(one, other, on);
        self.net.cut(other, one, on);
        if on {
            self.link_cut(one, other);
        }
    }

    fn stop_or_go(&mut self, node: usize, which: &[Process], on: bool) {
        if on { self.freeze(node, which) } else { self.thaw(node, which) }
    }

    fn pause_vm(&mut self, node: usize, on: bool) {
        if on {
            self.nodes[node].clock_missed = true;
            self.nodes[node].clock.stop(self.now);
            return self.freeze(node, &PROCESSES);
        }
        self.nodes[node].clock.run(self.now);
        // Its clocks have missed the pause, and so has whatever it waits for.
        if let Some(until) = self.nodes[node].agent.memory.no_lead_until {
            self.backs_off(node, until);
        }
        self.thaw(node, &PROCESSES);
    }

    fn slow(&mut self, node: usize, which: usize, on: bool) {
        let cell = &mut self.nodes[node].slow[which];
        *cell = if on { *cell + 1 } else { cell.saturating_sub(1) };
    }

    fn ask_switchover(&mut self, candidate: usize, choice: u64) {
        let leader = self.leader().filter(|_| choice & 1 == 0).map(|leader| self.names[leader].clone());
        let asked = (choice & 2 == 0).then_some(candidate);
        self.asked_for(self.leader().filter(|_| choice & 1 == 0), asked);
        let candidate = asked.map(|candidate| self.names[candidate].clone());
        self.operator_writes(store::FAILOVER, Value::Failover { leader, candidate });
    }

    fn change_mode(&mut self, choice: u64) {
        let Some(config) = view::config(&self.store.snap) else { return };
        let (strict, node_count) = (choice % 2 == 1, if choice / 6 % 4 == 3 { 2 } else { 1 });
        let mode = match choice % 6 {
            0 | 1 => SyncMode::Off,
            2 | 3 => SyncMode::On { strict, node_count },
            _ => SyncMode::Quorum { strict, node_count },
        };
        self.operator_writes(store::CONFIG, Value::Config(Config { mode, ..config }));
    }

    fn switch_failsafe(&mut self) {
        let Some(config) = view::config(&self.store.snap) else { return };
        self.operator_writes(store::CONFIG, Value::Config(Config { failsafe: !config.failsafe, ..config }));
    }

    fn change_ttl(&mut self, choice: u64) {
        let Some(config) = view::config(&self.store.snap) else { return };
        let ttl = [4, 5, 6, 8, 10, 15][choice as usize % 6] * SEC;
        let (shortest, longest) = self.checks.ttls;
        self.checks.ttls = (shortest.min(ttl), longest.max(ttl));
        self.operator_writes(store::CONFIG, Value::Config(Config { ttl, ..config }));
    }

    /// The leader key is written by somebody who knows nothing of the record, and is gone some time later.
    fn take_leader_key(&mut self, on: bool) {
        let stranger = MemberName::from("stranger");
        let his = self.store.snap.get(store::LEADER).is_some_and(|kv| *kv.value == Value::Leader(stranger.clone()));
        if on && self.store.snap.face().is_some() {
            self.operator_writes(store::LEADER, Value::Leader(stranger));
        } else if his && self.store.delete(store::LEADER, self.now) {
            self.committed();
        }
    }

    fn operator_writes(&mut self, key: usize, value: Value) {
        let txn = Txn { compares: Vec::new(), then: vec![Op::Put(key, value)] };
        if self.store.apply(txn, self.now).1 {
            self.committed();
        }
    }

    fn restore_store(&mut self) {
        if self.store.restore() {
            let nodes = 0..self.nodes.len();
            let backup = self.store.snap.revision;
            self.checks.restore = Some(Restore {
                at: self.now,
                read: vec![false; self.nodes.len()],
                leaders: nodes.clone().map(|node| self.leads(node)).collect(),
                lives: nodes.clone().map(|node| self.checks.terms.life_seen(node)).collect(),
                blind: nodes.map(|node| self.checks.terms.last_seen(node) <= backup).collect(),
            });
            self.checks.restored();
            for node in 0..self.nodes.len() {
                self.break_watch(node);
            }
        }
    }

    /// It may write or open, now or when it goes on: by its own clocks the guard's permission or its lease has not run out.
    fn leads(&self, node: usize) -> bool {
        let (here, now) = (&self.nodes[node], self.reading(node));
        let permitted = self.can_write(node) && here.guard.page.permit().is_some_and(|permit| permit.left(now, 0) > 0);
        let holds = here.agent.keeper.until().is_some_and(|until| until.boot > now.boot && until.raw > now.raw);
        // One whom an earlier backup forgot, and who is about to notice.
        let forgotten = self.checks.restore.as_ref().is_some_and(|before| before.leaders[node]) && self.can_write(node);
        permitted || forgotten || here.agent.alive && holds
    }

    /// Everything that still lasts ends, everybody runs again, and from now on only liveness is in question.
    pub fn heal(&mut self) {
        self.healed = true;
        self.say(|| "--- everything heals".into());
        self.store_up_at = self.now;
        for node in 0..self.nodes.len() {
            if self.nodes[node].out_of_service || !self.nodes[node].guard.alive && self.nodes[node].powered {
                self.nodes[node].out_of_service = false;
                if !self.nodes[node].agent.alive {
                    self.restart_service(node);
                }
            }
        }
        self.checks.disturbed(self.now);
        self.checks.alone = None;
    }
}

/// Keys the writes of which a fault can lose, one at a time: not the lease record, whose loss is that of the link.
const LOSABLE: &[store::Key] = &[store::INITIALIZE, store::SYNC, store::STATUS, store::PRIMARY, store::TIMELINES, store::MEMBER0];

fn lasting(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::StoreDown
            | Kind::StoreElection
            | Kind::WatchGap
            | Kind::LeaderKeyDeleted
            | Kind::AgentKill
            | Kind::GuardKill
            | Kind::PostgresKill
            | Kind::Switchover
            | Kind::Mode
            | Kind::Ttl
            | Kind::DirectoryLost
            | Kind::Failsafe
            | Kind::CancelWaits
    )
}
