//! What the broker keeps per plugin: its queue, its journal, whether it can be called, and what it shows.

mod journaling;

pub(crate) use journaling::{JournalDone, JournalJob};

use crate::{
    JournalState, LastEvent, Leadership, LoadState, Notice, PluginConfig, PluginStatus, Runs, Tuning,
    durable::Disk,
    journal::{self, Acknowledged, Leaders, Record, Told},
    protocol::{Action, Event, Export, Import, Load, LoadFailure, Loaded, Outcome, Role},
    queue::{self, Queue},
};
use journaling::Journaling;
use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tanist_engine::{Epoch, Moment};
use tanist_queue::{Breaker, Delivery, Verdict};

/// A component that could not be loaded is tried again so much later: somebody may have mended it. Twice that after each further
/// failure, as each attempt may compile it for minutes.
const RELOAD: Duration = Duration::from_secs(30);
/// At most so much later.
const RELOAD_CAP: Duration = Duration::from_secs(30 * 60);

#[derive(Debug)]
pub(crate) struct Plugin {
    pub(crate) config: PluginConfig,
    pub(crate) queue: Queue,
    load: LoadState,
    /// A load was answered with a failure; the next attempt.
    reload_at: Option<Moment>,
    /// Loads in a row that failed.
    failed_loads: u32,
    active: bool,
    journaling: Journaling,
    /// What the plugin was told of this node's role.
    told: Option<Told>,
    /// Who leads and who did, kept for a plugin that is told to release.
    leaders: Leaders,
    /// The journal could not be read: what was told is not known.
    forgotten: bool,
    order_patience: Duration,
    acknowledged: Option<Acknowledged>,
    last_event: Option<LastEvent>,
    last_outcome: Option<Outcome>,
    last_words: Option<String>,
    last_duration: Option<Duration>,
    delivered: u64,
    failed: u64,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// What the guest wrote to its standard error, of bounded length.
    pub(crate) stderr: String,
    pub(crate) duration: Duration,
}

impl Plugin {
    /// Reads the journal; returns the plugin and the highest sequence number it knows.
    pub(crate) fn new(config: PluginConfig, disk: Arc<dyn Disk>, directory: &Path, tuning: &Tuning, now: Moment) -> (Self, u64) {
        let (journaling, record) = Journaling::open(journal::open(disk, directory, &config.id), tuning);
        if let Some(problem) = journaling.problem() {
            tracing::warn!(plugin = %config.id, "journal: {problem}");
        }
        let forgotten = record.is_none();
        let record = record.unwrap_or_default();
        let sequence = record.sequence();
        let salt = RandomState::new().hash_one(&config.id);
        let mut queue = Queue::new(queue::policy(tuning, config.manifest.interval, config.manifest.on_failure, salt));
        let Record { acknowledged, pending, told, leaders } = record;
        pending.into_iter().for_each(|event| queue.push(event, now));
        let plugin = Self {
            queue,
            load: LoadState::Waiting,
            reload_at: None,
            failed_loads: 0,
            active: config.manifest.runs == Runs::Node,
            journaling,
            told,
            leaders,
            forgotten,
            order_patience: tuning.order_patience,
            acknowledged,
            last_event: None,
            last_outcome: None,
            last_words: None,
            last_duration: None,
            delivered: 0,
            failed: 0,
            config,
        };
        (plugin, sequence)
    }

    /// Who leads and who did, as far as its journal knows.
    pub(crate) fn leaders(&self) -> &Leaders {
        &self.leaders
    }

    /// Somebody leads. Kept, so that also an agent that starts as the leader knows for whom there is something to release.
    pub(crate) fn saw_leaders(&mut self, leaders: &Leaders, now: Moment) {
        if self.config.manifest.release && self.leaders != *leaders {
            self.leaders.clone_from(leaders);
            self.journaling.behind(now);
        }
    }

    /// What the host has to know to load it.
    pub(crate) fn to_load(&self) -> Load {
        let PluginConfig { id, source, sha256, manifest, grants, config, dry_run: _ } = &self.config;
        let asked = &manifest.capabilities;
        Load {
            plugin: id.clone(),
            source: source.clone(),
            sha256: *sha256,
            config: config.clone(),
            limits: manifest.limits,
            imports: grants.imports().into_iter().filter(|import| asked.contains(import)).collect(),
        }
    }

    pub(crate) fn loaded(&mut self, loaded: Loaded, now: Moment) {
        let Loaded { plugin, exports, imports, digest } = loaded;
        tracing::info!(%plugin, %digest, ?exports, ?imports, "loaded");
        self.reload_at = None;
        self.failed_loads = 0;
        self.load = LoadState::Loaded { digest, exports };
        self.open_or_close(now);
    }

    pub(crate) fn not_loaded(&mut self, failure: &LoadFailure, now: Moment) {
        let text = self.explain(failure);
        tracing::error!(plugin = %self.config.id, "{text}");
        let doubled = 1_u32.checked_shl(self.failed_loads).unwrap_or(u32::MAX);
        self.reload_at = Some(now + RELOAD.saturating_mul(doubled).min(RELOAD_CAP));
        self.failed_loads = self.failed_loads.saturating_add(1);
        // What was loaded before under this id is still there.
        if !matches!(self.load, LoadState::Loaded { .. }) {
            self.load = LoadState::Failed(text);
        }
    }

    fn explain(&self, failure: &LoadFailure) -> String {
        let PluginConfig { id, source, manifest, grants, .. } = &self.config;
        let mut text = format!("{source} {failure}");
        if let LoadFailure::NotGranted { import } = failure {
            let granted = grants.imports();
            let named = |capability: &str| import.contains(&format!("/{capability}")) || import == capability;
            match Import::ALL.into_iter().find(|known| named(known.name())) {
                Some(known) if granted.contains(&known) && !manifest.capabilities.contains(&known) => {
                    text += &format!("; plugin.toml does not ask for it: capabilities = [\"{}\"]", known.name());
                }
                Some(known) => text += &format!("; add to the configuration: {}", crate::Grants::remedy(id, known)),
                None => text += "; this agent does not offer it",
            }
        }
        text
    }

    /// The host is gone, and everything loaded with it.
    pub(crate) fn host_lost(&mut self) {
        self.load = LoadState::Waiting;
        self.reload_at = None;
        self.queue.close();
    }

    /// Whether a load has to be sent again now.
    pub(crate) fn reload_due(&mut self, now: Moment) -> bool {
        let due = self.reload_at.is_some_and(|at| at <= now);
        if due {
            self.reload_at = None;
        }
        due
    }

    /// For a plugin that runs at the leader: who leads now, and the epoch at which this node was last proved writable and published.
    pub(crate) fn leadership(&mut self, leadership: &Leadership, proved: u64, now: Moment) {
        if self.config.manifest.runs != Runs::Leader {
            return;
        }
        let Leadership { epoch: Epoch(epoch), lease_until, .. } = *leadership;
        if self.pass_on(epoch, lease_until.is_some()) {
            self.journaling.behind(now);
        }
        let leads = lease_until.is_some_and(|until| now < until) && proved == epoch;
        if self.active != leads {
            self.active = leads;
            self.open_or_close(now);
        }
    }

    /// What waits from before this epoch. Led by another node, it is that node's to tell. A leader whose lease ended, and who was the next
    /// to take it, has not changed its role: the agent says nothing again, so what it said is still to be told, under the lease of now.
    /// Returns whether anything is different.
    fn pass_on(&mut self, epoch: u64, mine: bool) -> bool {
        let older = |queue: &Queue| queue.waiting().filter(|event| event.epoch < epoch).count();
        let before = older(&self.queue);
        if mine {
            self.queue.amend(|event| event.epoch = event.epoch.max(epoch));
        } else {
            self.queue.retain(|event| event.epoch >= epoch);
        }
        older(&self.queue) != before
    }

    fn open_or_close(&mut self, now: Moment) {
        match &self.load {
            LoadState::Loaded { exports, .. } if self.active => self.queue.open(exports.contains(&Export::Reconcile), now),
            LoadState::Loaded { .. } | LoadState::Waiting | LoadState::Failed(_) => self.queue.close(),
        }
    }

    /// Queues an event, if the plugin wants it, and before it the release that belongs to it.
    ///
    /// The agent tells its role once after its own start, as `on_start`. A role that changed while the agent was dead, or whose change
    /// died with it, is not the one that was told last: then the change is told now.
    pub(crate) fn push(&mut self, event: &Event, release: Option<&Event>, now: Moment) {
        let told = Told::by(event);
        let missed = event.action == Action::OnStart && (self.forgotten || told.missed_since(self.told));
        if missed {
            let previous_role = self.told.map_or(Role::Uninitialized, |before| before.role);
            let change = Event { previous_role, ..event.as_role_change() };
            self.offer(event, now);
            release.into_iter().for_each(|release| self.offer(release, now));
            self.offer(&change, now);
        } else {
            // A start that changes nothing releases nothing: what has not been done yet waits in the journal.
            let release = release.filter(|_| event.action != Action::OnStart);
            release.into_iter().for_each(|release| self.offer(release, now));
            self.offer(event, now);
        }
        self.forgotten = false;
        if self.told.replace(told) != Some(told) {
            self.journaling.behind(now);
        }
    }

    fn offer(&mut self, event: &Event, now: Moment) {
        let here = match (self.config.manifest.runs, event.released_for()) {
            (Runs::Leader, Some(_)) => self.config.manifest.release,
            (Runs::Node, Some(_)) => false,
            (Runs::Node, None) => true,
            // What this node held is released by the next leader.
            (Runs::Leader, None) => event.role == Role::Primary && event.action != Action::OnStop,
        };
        if here && self.config.manifest.events.contains(&event.action) {
            let event = Event { dry_run: self.config.dry_run, ..event.clone() };
            self.queue.push(event, now);
            self.journaling.behind(now);
        }
    }

    /// What to call for now. An event is not called before it is in the journal, unless the disk takes too long.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Delivery<Event>> {
        if self.journaling.wait().is_some_and(|until| now < until) {
            return None;
        }
        let callbacks = matches!(&self.load, LoadState::Loaded { exports, .. } if exports.contains(&Export::Callbacks));
        loop {
            match self.queue.next(now)? {
                // Nothing to call: what it has of `reconcile` is all it wants.
                Delivery::Event(_) if !callbacks => self.ended(Verdict::Done, now),
                delivery => return Some(delivery),
            }
        }
    }

    /// When to look again, if nothing else happens.
    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let queue = self.queue.wake_at().map(|wake| self.journaling.wait().map_or(wake, |until| wake.max(until)));
        queue.into_iter().chain(self.reload_at).chain(self.journaling.wake_at()).min()
    }

    /// A call has ended, or was lost.
    pub(crate) fn finished(&mut self, event: Option<LastEvent>, ended: Ended, verdict: Verdict, now: Moment) -> Notice {
        let Ended { outcome, stderr, duration } = ended;
        match verdict {
            Verdict::Done => self.delivered += 1,
            Verdict::Failed | Verdict::Hopeless | Verdict::Overtaken | Verdict::Lost => {
                self.failed += 1;
                tracing::warn!(plugin = %self.config.id, ?outcome, ?duration, "call failed");
            }
        }
        self.last_event = event.clone().or(self.last_event.take());
        let told = outcome.words().into_iter().chain(Some(stderr).filter(|text| !text.is_empty()));
        self.last_words = told.reduce(|words, more| format!("{words}; {more}"));
        self.last_outcome = Some(outcome.clone());
        self.last_duration = Some(duration);
        let verdict = if verdict == Verdict::Overtaken && self.leads_again(event.as_ref()) { Verdict::Failed } else { verdict };
        self.ended(verdict, now);
        Notice { plugin: self.config.id.clone(), event, outcome, duration }
    }

    /// Whether the newer epoch that overtook the call of an event is this node's own.
    fn leads_again(&self, called: Option<&LastEvent>) -> bool {
        let kept = self.queue.waiting().next().filter(|_| self.queue.is_running());
        called.zip(kept).is_some_and(|(called, kept)| called.sequence == kept.sequence && called.epoch < kept.epoch)
    }

    fn ended(&mut self, verdict: Verdict, now: Moment) {
        if let Some(event) = self.queue.finished(verdict, now) {
            let Event { action, role, epoch, sequence, .. } = *event;
            self.acknowledged = Some(Acknowledged { action, role, epoch, sequence });
            self.journaling.behind(now);
        }
    }

    /// The journal is as new as the queue, or takes too long.
    pub(crate) fn journal_settled(&self, now: Moment) -> bool {
        self.journaling.wait().is_none_or(|until| until <= now)
    }

    /// A write of the journal that has to be started now.
    pub(crate) fn journal_job(&mut self, now: Moment) -> Option<JournalJob> {
        let Self { journaling, queue, acknowledged, told, leaders, .. } = self;
        let pending = || queue.waiting().cloned().collect();
        let record = || Record { acknowledged: *acknowledged, pending: pending(), told: *told, leaders: leaders.clone() };
        journaling.job(now, record)
    }

    /// A write of the journal has ended.
    pub(crate) fn journal_done(&mut self, done: JournalDone, now: Moment) {
        if let Some(problem) = self.journaling.done(done, now) {
            tracing::error!(plugin = %self.config.id, "journal: {problem}");
        }
    }

    /// Until when a plugin that comes after this one must wait with an event of this number; nothing: it need not. What cannot be
    /// called, or keeps failing, holds nobody up, and nothing does for ever.
    pub(crate) fn holds_up(&self, sequence: u64, now: Moment) -> Option<Moment> {
        let works = self.active && matches!(self.load, LoadState::Loaded { .. }) && self.queue.breaker() == Breaker::Closed;
        let until = self.queue.waits_since(sequence).filter(|_| works)? + self.order_patience;
        (now < until).then_some(until)
    }

    pub(crate) fn status(&self) -> PluginStatus {
        PluginStatus {
            plugin: self.config.id.clone(),
            version: self.config.manifest.version.clone(),
            granted: self.config.grants.imports().into_iter().collect(),
            load: self.load.clone(),
            active: self.active,
            last_event: self.last_event.clone(),
            last_outcome: self.last_outcome.clone(),
            last_words: self.last_words.clone(),
            last_duration: self.last_duration,
            retries: self.queue.failures(),
            delivered: self.delivered,
            failed: self.failed,
            breaker: self.queue.breaker(),
            pending: self.queue.waiting().skip(usize::from(self.queue.is_running())).map(|event| event.action).collect(),
            running: self.queue.is_running(),
            journal: match self.journaling.problem() {
                Some(problem) => JournalState::Problem(problem.clone()),
                None if self.journaling.is_current() => JournalState::Current,
                None => JournalState::Behind,
            },
        }
    }

    /// Nothing is left to do for it before an end.
    pub(crate) fn is_idle(&self) -> bool {
        !self.queue.is_running() && (self.queue.is_idle() || !self.active)
    }
}

impl From<&Event> for LastEvent {
    fn from(event: &Event) -> Self {
        Self { action: event.action, role: event.role, epoch: event.epoch, sequence: event.sequence }
    }
}

#[cfg(test)]
mod tests;
