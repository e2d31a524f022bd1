//! What the broker keeps per plugin: its queue, its journal, whether it can be called, and what it shows.

use crate::{
    LastEvent, LoadState, Notice, PluginConfig, PluginStatus, Runs, Tuning,
    journal::{Acknowledged, Journal, JournalError, Record},
    protocol::{Action, Event, Export, Import, Load, LoadFailure, Loaded, Outcome, Role},
    queue::{Delivery, Queue, QueuePolicy, Verdict},
};
use std::{collections::BTreeSet, path::Path, time::Duration};
use tanist_engine::Moment;

/// A component that could not be loaded is tried again so much later: somebody may have mended it.
const RELOAD: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Plugin {
    pub(crate) config: PluginConfig,
    pub(crate) queue: Queue,
    load: LoadState,
    /// A load was answered with a failure; the next attempt.
    reload_at: Option<Moment>,
    active: bool,
    journal: Journal,
    journaling: Journaling,
    patience: Duration,
    acknowledged: Option<Acknowledged>,
    last_event: Option<LastEvent>,
    last_outcome: Option<Outcome>,
    last_duration: Option<Duration>,
    delivered: u64,
    failed: u64,
}

/// How far the journal is behind the queue.
#[derive(Debug, Default)]
struct Journaling {
    wanted: u64,
    written: u64,
    in_flight: bool,
    /// Since when it is behind.
    behind_since: Option<Moment>,
    problem: Option<String>,
}

/// A journal to write, away from the broker's thread.
pub(crate) struct JournalJob {
    version: u64,
    journal: Journal,
    record: Record,
}

/// A journal was written, or not.
pub(crate) struct JournalDone {
    version: u64,
    result: Result<(), JournalError>,
}

impl JournalJob {
    pub(crate) fn run(self) -> JournalDone {
        JournalDone { version: self.version, result: self.journal.write(&self.record) }
    }
}

impl Plugin {
    /// Reads the journal; returns the plugin and the highest sequence number it knows.
    pub(crate) fn new(config: PluginConfig, directory: &Path, tuning: &Tuning, now: Moment) -> (Self, u64) {
        let journal = Journal::new(directory, &config.id);
        let (record, problem) = match journal.load() {
            Ok(record) => (record, None),
            Err(error) => (Record::default(), Some(error.to_string())),
        };
        if let Some(problem) = &problem {
            tracing::warn!(plugin = %config.id, "journal: {problem}");
        }
        let sequence = record.sequence();
        let mut queue = Queue::new(QueuePolicy::new(tuning, config.manifest.interval, config.manifest.on_failure));
        let Record { acknowledged, pending } = record;
        pending.into_iter().for_each(|event| queue.push(event, now));
        let plugin = Self {
            queue,
            load: LoadState::Waiting,
            reload_at: None,
            active: config.manifest.runs == Runs::Node,
            journal,
            journaling: Journaling { problem, ..Journaling::default() },
            patience: tuning.journal_patience,
            acknowledged,
            last_event: None,
            last_outcome: None,
            last_duration: None,
            delivered: 0,
            failed: 0,
            config,
        };
        (plugin, sequence)
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
        self.load = LoadState::Loaded { digest, exports };
        self.open_or_close(now);
    }

    pub(crate) fn not_loaded(&mut self, failure: &LoadFailure, now: Moment) {
        let text = self.explain(failure);
        tracing::error!(plugin = %self.config.id, "{text}");
        self.reload_at = Some(now + RELOAD);
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
            let known = [Import::Log, Import::Config, Import::Leadership, Import::Dns];
            match known.into_iter().find(|known| named(known.name())) {
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

    /// For a plugin that runs at the leader: whether this node is the leader and published, and the newest epoch.
    pub(crate) fn leads(&mut self, leads: bool, epoch: u64, now: Moment) {
        if self.config.manifest.runs != Runs::Leader {
            return;
        }
        let before = self.queue.waiting().count();
        self.queue.retain(|event| event.epoch >= epoch);
        if self.queue.waiting().count() != before {
            self.journal_behind(now);
        }
        if self.active != leads {
            self.active = leads;
            self.open_or_close(now);
        }
    }

    fn open_or_close(&mut self, now: Moment) {
        match &self.load {
            LoadState::Loaded { exports, .. } if self.active => self.queue.open(exports.contains(&Export::Reconcile), now),
            LoadState::Loaded { .. } | LoadState::Waiting | LoadState::Failed(_) => self.queue.close(),
        }
    }

    /// Queues an event, if the plugin wants it.
    pub(crate) fn push(&mut self, event: &Event, now: Moment) {
        let here = match self.config.manifest.runs {
            Runs::Node => true,
            // Releases for this node are done by the next leader.
            Runs::Leader => event.role == Role::Primary && event.action != Action::OnStop,
        };
        if here && self.config.manifest.events.contains(&event.action) {
            let event = Event { dry_run: self.config.dry_run, ..event.clone() };
            self.queue.push(event, now);
            self.journal_behind(now);
        }
    }

    /// What to call for now. An event is not called before it is in the journal, unless the disk takes too long.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Delivery> {
        if self.journal_wait().is_some_and(|until| now < until) {
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
        let queue = self.queue.wake_at().map(|wake| self.journal_wait().map_or(wake, |until| wake.max(until)));
        queue.into_iter().chain(self.reload_at).min()
    }

    /// A call has ended, or was lost.
    pub(crate) fn finished(
        &mut self,
        event: Option<LastEvent>,
        outcome: Outcome,
        verdict: Verdict,
        duration: Duration,
        now: Moment,
    ) -> Notice {
        match verdict {
            Verdict::Done => self.delivered += 1,
            Verdict::Failed | Verdict::Hopeless | Verdict::Overtaken | Verdict::Lost => {
                self.failed += 1;
                tracing::warn!(plugin = %self.config.id, ?outcome, ?duration, "call failed");
            }
        }
        self.last_event = event.clone().or(self.last_event.take());
        self.last_outcome = Some(outcome.clone());
        self.last_duration = Some(duration);
        self.ended(verdict, now);
        Notice { plugin: self.config.id.clone(), event, outcome, duration }
    }

    fn ended(&mut self, verdict: Verdict, now: Moment) {
        if let Some(event) = self.queue.finished(verdict, now) {
            let Event { action, role, epoch, sequence, .. } = *event;
            self.acknowledged = Some(Acknowledged { action, role, epoch, sequence });
            self.journal_behind(now);
        }
    }

    fn journal_behind(&mut self, now: Moment) {
        self.journaling.wanted += 1;
        self.journaling.behind_since.get_or_insert(now);
    }

    /// Until when a call has to wait for the journal.
    fn journal_wait(&self) -> Option<Moment> {
        self.journaling.behind_since.map(|since| since + self.patience)
    }

    /// The journal is as new as the queue, or takes too long.
    pub(crate) fn journal_settled(&self, now: Moment) -> bool {
        self.journal_wait().is_none_or(|until| until <= now)
    }

    /// A write of the journal that has to be started now.
    pub(crate) fn journal_job(&mut self) -> Option<JournalJob> {
        let Journaling { wanted, written, in_flight, .. } = &mut self.journaling;
        if *in_flight || wanted == written {
            return None;
        }
        *in_flight = true;
        let pending = self.queue.waiting().cloned().collect();
        let record = Record { acknowledged: self.acknowledged, pending };
        Some(JournalJob { version: *wanted, journal: self.journal.clone(), record })
    }

    /// A write of the journal has ended. A failed one is not repeated until there is something new: calls matter more.
    pub(crate) fn journal_done(&mut self, done: JournalDone, now: Moment) {
        let JournalDone { version, result } = done;
        self.journaling.in_flight = false;
        self.journaling.written = version;
        // What came meanwhile gets its time anew.
        self.journaling.behind_since = (self.journaling.wanted != version).then_some(now);
        match result {
            Ok(()) if version > 1 => self.journaling.problem = None,
            // What was wrong with the file at the start stays visible until it was replaced more than once.
            Ok(()) => {}
            Err(error) => {
                tracing::error!(plugin = %self.config.id, "journal: {error}");
                self.journaling.problem = Some(error.to_string());
            }
        }
    }

    pub(crate) fn status(&self) -> PluginStatus {
        PluginStatus {
            plugin: self.config.id.clone(),
            load: self.load.clone(),
            active: self.active,
            last_event: self.last_event.clone(),
            last_outcome: self.last_outcome.clone(),
            last_duration: self.last_duration,
            retries: self.queue.failures(),
            delivered: self.delivered,
            failed: self.failed,
            breaker_open: self.queue.breaker_open(),
            pending: self.queue.waiting().skip(usize::from(self.queue.is_running())).map(|event| event.action).collect(),
            running: self.queue.is_running(),
            journal: self.journaling.problem.clone(),
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

/// The ids of these plugins, without one that occurs twice; else that one.
pub(crate) fn duplicate(plugins: &[PluginConfig]) -> Option<&PluginConfig> {
    let mut seen = BTreeSet::new();
    plugins.iter().find(|plugin| !seen.insert(&plugin.id))
}
