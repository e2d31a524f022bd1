//! One decision in the making: the facts it may use, and what it has asked for so far.

use crate::{
    Action, Armed, Decision, Epoch, FenceState, Held, Job, JobOutcome, Lease, Memory, Moment, Observation, Policy, Postgres,
    Reason, ServerRole, Storage,
};
use std::time::Duration;

/// A job that has ended shows in the probe within this; until then the same job is not asked for again.
const SETTLE: Duration = Duration::from_secs(1);
/// `wake_at` is at least this far away, so that a deadline in the past cannot make the agent spin.
const SHORTEST_NAP: Duration = Duration::from_millis(10);

/// One decision in the making.
pub(super) struct Turn<'a> {
    /// The rules.
    pub policy: &'a Policy,
    /// The facts.
    pub seen: &'a Observation,
    /// The present.
    pub now: Moment,
    /// What the next decision will remember.
    pub memory: Memory,
    /// The replacement of the data directory is being announced.
    pub announces: bool,
    actions: Vec<Action>,
    wake_at: Moment,
}

impl<'a> Turn<'a> {
    pub fn new(policy: &'a Policy, memory: Memory, seen: &'a Observation, now: Moment) -> Self {
        Self { policy, seen, now, memory, announces: false, actions: Vec::new(), wake_at: now + policy.loop_wait }
    }

    /// Effects are carried out in order: the renewal, which must not wait, first; the end of the agent last.
    pub fn finish(mut self, reason: Reason) -> Decision {
        self.actions.sort_by_key(|action| match action {
            Action::Renew => 0,
            Action::Exit => 2,
            _ => 1,
        });
        if !self.announces {
            self.memory.data_raised = None;
        }
        let wake_at = self.wake_at.max(self.now + SHORTEST_NAP);
        Decision { memory: self.memory, actions: self.actions, reason, wake_at }
    }

    /// Asks for an effect.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Asks for an effect that comes before those asked for so far.
    pub fn act_first(&mut self, action: Action) {
        self.actions.insert(0, action);
    }

    /// Asks for an effect that is the whole answer to the situation.
    pub fn step(&mut self, action: Action, reason: Reason) -> Reason {
        self.act(action);
        reason
    }

    /// Whether an effect has been asked for in this decision.
    pub fn asked(&self, which: impl Fn(&Action) -> bool) -> bool {
        self.actions.iter().any(which)
    }

    /// Decide again then at the latest.
    pub fn wake(&mut self, at: Moment) {
        if at > self.now {
            self.wake_at = self.wake_at.min(at);
        }
    }

    /// Whether `at` has come; if not, wakes then.
    pub fn reached(&mut self, at: Moment) -> bool {
        self.wake(at);
        self.now >= at
    }

    /// Begins a long job, unless one is running that does not give way, or this very one has just ended.
    pub fn run(&mut self, job: Job, reason: Reason) -> Reason {
        if let Some(running) = self.seen.job.as_ref().filter(|running| !running.job.gives_way() || running.job == job) {
            return Reason::JobRunning { job: running.job.name().to_owned() };
        }
        // It would hang, or fail. What has to end is fenced.
        if self.seen.storage.state == Storage::Broken {
            return Reason::StorageBroken { why: self.seen.storage.why.clone() };
        }
        if let Some(last) = self.seen.last_job.as_ref().filter(|last| last.job == job) {
            let name = job.name().to_owned();
            match &last.outcome {
                JobOutcome::Done if !self.reached(last.at + SETTLE) => return Reason::WaitForProbe { job: name },
                JobOutcome::Failed(error) => {
                    let retry_at = last.at + self.policy.loop_wait.clamp(Duration::from_secs(1), Duration::from_secs(5));
                    if !self.reached(retry_at) {
                        return Reason::JobFailed { job: name, error: error.clone(), retry_at };
                    }
                }
                JobOutcome::Done => {}
            }
        }
        self.step(Action::Run(job), reason)
    }

    /// The lease, if this node holds it.
    pub fn held(&self) -> Option<&'a Held> {
        match &self.seen.lease {
            Lease::Mine(held) => Some(held),
            Lease::Unknown | Lease::Vacant { .. } | Lease::Theirs(_) => None,
        }
    }

    /// `/sync` decides who may lead.
    pub fn by_sync(&self) -> bool {
        self.seen.store.sync_decides(self.policy)
    }

    /// The guard's permission, if it has not run out.
    pub fn armed(&self) -> Option<Armed> {
        self.seen.guard.armed.filter(|armed| armed.until > self.now)
    }

    /// The guard permits a writable PostgreSQL under the held lease.
    pub fn armed_for(&self, held: &Held) -> bool {
        self.armed().is_some_and(|armed| armed.epoch == held.epoch)
    }

    /// Asks the guard for a permission until the end of the held lease, unless it would refuse: for an epoch that is too old, or with no
    /// more left of the lease than a fence may take. Then the renewal is waited for. `true`: it is asked.
    pub fn arm(&mut self, held: &Held) -> bool {
        let asks = self.refused_by_guard(held).is_none() && held.until > self.now + self.seen.guard.budget;
        if asks {
            self.act(Action::Arm { epoch: held.epoch, until: held.until });
        }
        asks
    }

    /// The epoch for which the guard was armed, where it is newer than the lease's: it is not armed for an older one, however often it is
    /// asked. A store that was restored hands out such a lease.
    pub fn refused_by_guard(&self, held: &Held) -> Option<Epoch> {
        Some(self.seen.guard.newest).filter(|newest| *newest > held.epoch)
    }

    /// PostgreSQL may be writable now, or may become so by the job that runs.
    pub fn may_write(&self) -> bool {
        self.seen.postgres.may_be_writable() || self.seen.is_opening()
    }

    /// An order to open PostgreSQL may still be on its way to a guard that stands still, which carries it out for as long as it has
    /// permission. A fence that is complete may have been so before.
    pub fn may_be_opened(&self) -> bool {
        let guard = &self.seen.guard;
        self.seen.is_opening() && guard.armed.is_some_and(|armed| armed.until > self.now + guard.budget)
    }

    pub fn fence_complete(&self) -> bool {
        self.seen.guard.fence == FenceState::Complete
    }

    /// A fence has ended all that could write, and nothing can come up after it.
    pub fn fenced(&self) -> bool {
        self.fence_complete() && !self.may_be_opened()
    }

    /// Nothing here can write, now or by an order that is on its way: what a release and an announced demotion wait for.
    pub fn is_quiet(&self) -> bool {
        self.fenced() || !self.may_write()
    }

    /// Keeps the parts of the memory that only follow the facts.
    pub fn notice(&mut self) {
        let (seen, now) = (self.seen, self.now);
        if let Postgres::Running(running) = &seen.postgres {
            self.memory.was_standby = matches!(running.role, ServerRole::Standby { .. });
            self.memory.started_alone = None;
            self.memory.restarted = None;
            // Somebody else has won and this node streams from him: what it stayed out of the races for is over.
            let follows = matches!(running.role, ServerRole::Standby { streaming: true, .. });
            if follows && matches!(&seen.lease, Lease::Theirs(theirs) if !theirs.twin) {
                self.memory.no_lead_until = None;
                self.memory.handed_over = 0;
            }
        }
        if let Postgres::Starting { as_primary, .. } = &seen.postgres {
            self.memory.was_standby = !as_primary;
        }
        let down = matches!(seen.postgres, Postgres::Stopped(_) | Postgres::Starting { .. });
        self.memory.restart_down = self.memory.restart_begun.is_some() && (self.memory.restart_down || down);
        self.memory.down_since = match (self.held(), down, self.memory.down_since) {
            (Some(held), true, Some((epoch, since))) if epoch == held.epoch => Some((epoch, since)),
            (Some(held), true, _) => Some((held.epoch, now)),
            _ => None,
        };
        if let Some(Job::Promote { epoch, .. }) = seen.job.as_ref().map(|running| &running.job) {
            self.memory.opening = Some(*epoch);
        }
        if self.held().is_none_or(|held| self.armed_for(held)) {
            self.memory.permission_asked = None;
        }
        self.notice_lease();
        self.notice_store();
        super::marked::notice(self);
        self.notice_names();
        self.notice_cut();
        self.notice_replacement();
        self.notice_failure();
    }

    /// A leader key that was put back gives the same lease a new epoch: what was decided about the lease goes on. It ends when the lease
    /// is seen not to be ours, which nobody who takes it anew has missed.
    fn notice_lease(&mut self) {
        let epoch = match &self.seen.lease {
            Lease::Mine(held) => Some(held.epoch),
            Lease::Vacant { .. } | Lease::Theirs(_) => None,
            Lease::Unknown => return,
        };
        let memory = &mut self.memory;
        memory.giving_up = memory.giving_up.and(epoch);
        memory.released = memory.released.take().and_then(|(_, handoff)| epoch.map(|epoch| (epoch, handoff)));
    }

    /// Whether a write of `/sync` by an agent before this one can still be open, and since when the marks of data directories are as they
    /// are. The first view of an agent is read after its start, so a later change of `/sync` leaves every earlier write behind.
    fn notice_store(&mut self) {
        let store = &self.seen.store;
        if store.as_of.is_none() {
            return;
        }
        let revision = store.sync_revision();
        match &self.seen.lease {
            Lease::Vacant { .. } | Lease::Theirs(_) => {
                (self.memory.sync_clear, self.memory.sync_asked) = (true, None);
                self.memory.initialize_asked = false;
            }
            Lease::Mine(_) => {
                let first = *self.memory.sync_first.get_or_insert(revision);
                self.memory.sync_clear |= first != revision;
            }
            Lease::Unknown => {}
        }
        if self.memory.data != store.data {
            self.memory.data = store.data.clone();
            self.memory.data_since = Some(self.now);
        }
    }

    /// A position that was read under certain names says nothing any more once others may have been in force: what those let through lies
    /// beyond it. A server that ended while its names were changing comes back with the reserved ones, as if nothing had been.
    fn notice_names(&mut self) {
        let in_force = match &self.seen.postgres {
            Postgres::Running(crate::Running { role: ServerRole::Primary { names_in_force, .. }, .. }) => names_in_force.as_ref(),
            _ => None,
        };
        if self.memory.sync_target.as_ref().is_some_and(|target| Some(&target.names) != in_force) {
            self.memory.sync_target = None;
        }
    }

    fn notice_cut(&mut self) {
        let cut = self.seen.promised.as_ref().filter(|promised| promised.cut).map(|promised| promised.epoch);
        let known = self.memory.cut_since.filter(|(epoch, _)| Some(*epoch) == cut);
        self.memory.cut_since = known.or(cut.map(|epoch| (epoch, self.now)));
    }

    /// What became of the last replacement of the data directory.
    fn notice_replacement(&mut self) {
        let Some(last) = &self.seen.last_job else { return };
        match (&last.job, &last.outcome) {
            (Job::Clone { .. } | Job::Rewind { .. }, JobOutcome::Done) => self.memory.must_replace = None,
            (Job::Rewind { from }, JobOutcome::Failed(error)) => self.memory.rewind_failed = Some((from.epoch, error.clone())),
            _ => {}
        }
    }

    /// The data directory was replaced, or that failed, and no look at it has been begun since.
    pub fn replaced_unseen(&self) -> Option<Reason> {
        let last = self.seen.last_job.as_ref().filter(|last| self.seen.probed < last.at)?;
        let replaces = matches!(last.job, Job::Clone { .. } | Job::Rewind { .. } | Job::Bootstrap);
        replaces.then(|| Reason::WaitForProbe { job: last.job.name().to_owned() })
    }

    /// A node whose promotion, start or bootstrap failed gives up its lease and lets others win for a while.
    fn notice_failure(&mut self) {
        let (Some(held), Some(report)) = (self.held(), &self.seen.last_job) else { return };
        let of_this_lease = match &report.job {
            Job::Promote { epoch, .. } | Job::Start(crate::StartAs::Primary { epoch }) => *epoch == held.epoch,
            Job::Bootstrap | Job::PostBootstrap => true,
            Job::Clone { .. } | Job::Rewind { .. } | Job::Start(_) | Job::Stop(_) => false,
            Job::Promise { .. } | Job::Follow(_) | Job::Checkpoint => false,
        };
        let new = self.memory.failure_at != Some(report.at);
        if of_this_lease && new && matches!(report.outcome, JobOutcome::Failed(_)) {
            self.memory.failure_at = Some(report.at);
            match report.at >= held.until {
                // Refused because the lease was over: that says nothing of this node, and where every candidate stood still for so long
                // nobody would be left.
                true => self.memory.giving_up = Some(held.epoch),
                false => self.give_up(held),
            }
        }
    }

    /// The lease of this epoch is given up, however long that takes, and this node stays out of the next races.
    pub fn give_up(&mut self, held: &Held) {
        self.memory.giving_up = Some(held.epoch);
        self.stay_out();
    }

    /// This node stays out of the next races; for a moment only where nobody else may lead.
    pub fn stay_out(&mut self) {
        let span = if super::members::only_this_one(self) { self.policy.renew_every() } else { self.policy.ttl * 2 };
        self.memory.no_lead_until = Some(self.now + span);
    }
}
