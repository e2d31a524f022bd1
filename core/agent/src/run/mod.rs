//! The agent's run loop: look, decide, carry out, wait for news.
//!
//! One thread, one loop. It reacts to facts and to its one timer, never to polling, and waits for nothing else: whatever may take time
//! runs as a task that tells its end as a fact. The decision itself is `tanist_engine::decide`; nothing here has an opinion.

mod alike;
pub mod clock;
mod compose;
mod dynamic;
mod effect;
mod fact;
mod name;
mod recorder;
mod start;
mod status;
mod store;
mod trouble;
pub mod wall;
mod world;

pub use dynamic::{LastConfig, Source};
pub use effect::Effect;
pub use fact::{Fact, Facts};
pub use name::{delete_by_hand, place_of};
pub use recorder::{FILE_NAME as FLIGHT_FILE, Line, Story};
pub use start::{StartError, run_agent};
pub use status::{Status, StatusCell};

use crate::{cluster::is_identity, execute::Tools};
use effect::UnderWay;
use recorder::Recorder;
use std::{sync::Arc, time::Duration};
use tanist_engine::{
    Action, Callback, Decision, Emission, Lease, Memory, Moment, Observation, Policy, Reason, Refusal, Role, audit, decide,
};
use tokio::sync::mpsc;
use world::World;

/// A decision that the audit rejects is replaced by waiting this long.
const AFTER_VIOLATION: Duration = Duration::from_millis(100);
/// The loop never waits shorter than this, so that a deadline that has passed cannot make it spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// How long the lease may take to be given up when the guard is dead.
const LAST_RELEASE: Duration = Duration::from_secs(2);

/// How an agent ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Asked to, in order.
    Stopped,
    /// It cannot go on; the message says why and what to do. The guard ends with it.
    Fatal(String),
    /// The guard is dead; PostgreSQL is fenced and the lease given up, as far as that was possible.
    GuardDead,
}

/// The loop with everything it owns.
pub struct Loop {
    world: World,
    memory: Memory,
    policy: Policy,
    under_way: UnderWay,
    recorder: Recorder,
    status: StatusCell,
    tools: Arc<Tools>,
    news: mpsc::UnboundedReceiver<Fact>,
    timer: clock::Timer,
    confirming: bool,
    /// The lease was vacant in the last turn.
    vacant: bool,
    /// Since when the lease has had this node's name and is not its own.
    twin_since: Option<Moment>,
    /// The last switchover refused here, for REST.
    refused: Option<(Moment, Refusal)>,
    ending: Option<Ending>,
}

impl Loop {
    /// Runs until the agent ends.
    pub async fn run(mut self) -> std::io::Result<Ending> {
        loop {
            let now = clock::now();
            let decision = self.turn(now);
            if let Some(ending) = self.ending.take() {
                return Ok(ending);
            }
            self.wait(decision.wake_at, now).await?;
        }
    }

    /// One turn: observe, decide, audit, record, begin what was decided.
    fn turn(&mut self, now: Moment) -> Decision {
        let seen = self.world.observe(&self.tools);
        // Whoever races needs to know where its own WAL ends now.
        let vacant = matches!(seen.lease, Lease::Vacant { .. });
        if std::mem::replace(&mut self.vacant, vacant) != vacant && vacant {
            self.tools.postgres.probe_now();
        }
        let mut decision = decide(&self.policy, &self.memory, &seen, now);
        let violation = audit(&self.policy, &seen, &decision, now).err().map(|violation| violation.to_string());
        if let Some(violation) = &violation {
            tracing::error!(%violation, actions = ?decision.actions, "a decision was rejected; the guard stays as it is");
        }
        let kept = self.recorder.record(&self.policy, &self.memory, &seen, &decision, violation.clone(), now);
        if let Some(line) = kept {
            tracing::info!(actions = ?line.actions, "{}", line.reason);
        }
        if violation.is_some() {
            decision.actions.clear();
            decision.wake_at = now + AFTER_VIOLATION;
        } else {
            self.memory = decision.memory.clone();
        }
        for action in decision.actions.clone() {
            self.begin(action, &decision, &seen, now);
        }
        // What cannot be read is waited for: the leader puts it right.
        if let Reason::ForeignDataDirectory { cluster, .. } = &decision.reason
            && is_identity(cluster)
        {
            let path = self.tools.settings.postgres.data_dir.display();
            self.ending = Some(Ending::Fatal(format!("postgresql.data_dir: {path}: {}", decision.reason)));
        }
        self.notice_twin(&decision, now);
        self.show(&seen, &decision, now);
        decision
    }

    /// The lease of the own last run ends by itself. One of this name that outlives it twice is renewed by somebody else.
    fn notice_twin(&mut self, decision: &Decision, now: Moment) {
        let Reason::Twin { epoch } = decision.reason else { return self.twin_since = None };
        let since = *self.twin_since.get_or_insert(now);
        if now > since + self.policy.ttl * 2 {
            let name = &self.tools.settings.name;
            let message = format!("name: another node leads as {name} with epoch {epoch}; give this node a name of its own");
            self.ending = Some(Ending::Fatal(message));
        }
    }

    fn begin(&mut self, action: Action, decision: &Decision, seen: &Observation, now: Moment) {
        match &action {
            Action::Arm { epoch, .. } => self.tools.arm(*epoch, self.policy.ttl),
            Action::Disarm => self.tools.disarm(),
            Action::Emit(emission) => self.tools.emit(emission.clone(), seen, decision.reason.to_string()),
            Action::Exit => self.ending = Some(Ending::Stopped),
            Action::Run(job) => {
                if self.world.job().is_none_or(|running| running.job.gives_way()) {
                    let number = self.world.begin(job.clone(), now);
                    self.tools.begin_job(number, job.clone(), seen, &self.policy, &self.memory);
                }
            }
            _ => {
                let Some(effect) = Effect::of(&action) else { return };
                if self.under_way.begin(effect, now) {
                    if effect == Effect::SyncNames {
                        self.world.names_change();
                    }
                    self.tools.begin(effect, action, seen, &self.policy);
                } else {
                    self.memory.asked_in_vain(&action);
                }
            }
        }
    }

    /// Tells REST, DNS and plugins what is so now.
    fn show(&mut self, seen: &Observation, decision: &Decision, now: Moment) {
        let snapshot = self.tools.mirror.snapshot();
        let revision = snapshot.revision;
        let told = snapshot.get(&self.tools.keeper.keys().status()).map(|told| told.kv.value.as_slice());
        self.tools.slots.show(seen, &self.policy, told);
        self.tools.names.show(&seen.me, &seen.lease, &seen.store, revision);
        self.tools.plugins.show(seen, self.memory.announced.unwrap_or_default(), self.policy.ttl);
        if let Reason::SwitchoverRefused { why } = &decision.reason {
            self.refused = Some((now, why.clone()));
        }
        self.status.put(Status {
            refused: self.refused.clone(),
            seen: seen.clone(),
            reason: decision.reason.clone(),
            policy: self.policy.clone(),
            decided: now,
        });
    }

    /// Waits for news or for the moment at which something changes without any.
    async fn wait(&mut self, decided: Moment, now: Moment) -> std::io::Result<()> {
        let reading = clock::reading();
        if !self.confirming && self.tools.keeper.wants_confirmation(reading) {
            self.confirm_vacant();
        }
        let others = [self.tools.keeper.next_change(reading), self.under_way.wake_at(now)];
        let wake = others.into_iter().flatten().fold(decided, Moment::min).max(now + SHORTEST_WAIT);
        self.timer.set(wake)?;
        tokio::select! {
            fact = self.news.recv() => match fact {
                Some(fact) => self.learn(fact).await,
                None => self.ending = Some(Ending::Fatal("the run loop has lost its sources".into())),
            },
            expired = self.timer.wait() => expired?,
        }
        while let Ok(fact) = self.news.try_recv() {
            self.learn(fact).await;
        }
        Ok(())
    }

    async fn learn(&mut self, fact: Fact) {
        let now = clock::now();
        match fact {
            Fact::Effect { effect, done } => {
                self.under_way.end(effect, done, now);
                if effect == Effect::SyncNames {
                    self.world.names_changed(now);
                    self.tools.postgres.probe_now();
                }
            }
            Fact::Store(view) => {
                self.under_way.news();
                self.world.learn(Fact::Store(view), now);
            }
            Fact::Confirmed => self.confirming = false,
            Fact::Policy(policy) => self.take(*policy),
            Fact::Reloaded => self.announce_reload(),
            // Forgotten, it is written anew.
            Fact::Detail => self.memory.member = None,
            Fact::Fatal(message) => self.ending = Some(Ending::Fatal(message)),
            Fact::GuardDead => {
                let release = async {
                    if let Lease::Mine(_) = self.tools.keeper.lease(clock::reading()) {
                        self.tools.keeper.release(None, false).await;
                    }
                };
                let _in_time = tokio::time::timeout(LAST_RELEASE, release).await;
                self.ending = Some(Ending::GuardDead);
            }
            Fact::PostgresChanged(_) | Fact::Job(..) => {
                self.world.learn(fact, now);
                // A look that is under way began too early to count: without another nothing would be known until the next regular one.
                self.tools.postgres.probe_now();
            }
            other => self.world.learn(other, now),
        }
    }

    /// Other rules. The guard's share of ttl is part of its permission, which is given anew for the same lease.
    fn take(&mut self, policy: Policy) {
        let armed = self.tools.guard.page().arm_view();
        if let Some(armed) = armed.filter(|_| policy.ttl != self.policy.ttl)
            && let Lease::Mine(held) = self.tools.keeper.lease(clock::reading())
            && held.epoch.0 == armed.epoch
        {
            self.tools.arm(held.epoch, policy.ttl);
        }
        self.policy = policy;
    }

    /// Plugins and scripts hear of it, as in Patroni.
    fn announce_reload(&self) {
        let Some(role) = self.memory.announced.filter(|role| *role != Role::Uninitialized) else { return };
        let epoch = self.memory.announced_epoch;
        let emission = Emission { callback: Callback::OnReload, role, previous: role, epoch };
        self.tools.emit(emission, &self.world.observe(&self.tools), "PostgreSQL's configuration has changed".to_owned());
    }

    /// Asks the store whether the record that looks over really is.
    fn confirm_vacant(&mut self) {
        self.confirming = true;
        let tools = self.tools.clone();
        tokio::spawn(async move {
            match tools.keeper.confirm_vacant().await {
                Ok(vacant) => tracing::info!(vacant, "the lease record was read again"),
                Err(error) => tracing::warn!(%error, "the lease record could not be read again"),
            }
            // It failed, or the store has gone back and confirms nothing.
            if tools.keeper.wants_confirmation(clock::reading()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tools.facts.tell(Fact::Confirmed);
        });
    }
}
