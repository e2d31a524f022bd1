//! Keeps a plugin host running: starts it, pings it, kills it when it is silent or late, starts it again with back-off.

use super::{Broker, calls::Late};
use crate::{
    HostCommand, HostStatus, Tuning,
    host::{HostNews, HostProcess},
    plugin::Ended,
    protocol::{Done, Level, LoadFailure, Outcome, PluginId, ToAgent, ToHost, VERSION},
    queue,
};
use std::time::Duration;
use tanist_engine::Moment;
use tanist_queue::Verdict;
use tokio::{process::Child, time::sleep};

/// A host that lived so long is started again without delay.
const SETTLED: Duration = Duration::from_secs(10);

/// Time from the start of the program to its first word; it may be read from a slow disk.
const GREETING: Duration = Duration::from_secs(5);

/// Longest text of a plugin or of the host that is kept.
const MAX_TEXT: usize = 4 << 10;

/// The plugin host, or the time of its next start.
#[derive(Debug)]
pub(super) struct Hosting {
    process: Option<HostProcess>,
    start_at: Moment,
    /// Ends in a row of hosts that did not live long.
    young_deaths: u32,
    nonce: u64,
    starts: u64,
    last_loss: Option<String>,
    /// Killed hosts that are not dead yet.
    dying: Vec<Child>,
}

impl Hosting {
    pub(super) fn new(now: Moment) -> Self {
        Self { process: None, start_at: now, young_deaths: 0, nonce: 0, starts: 0, last_loss: None, dying: Vec::new() }
    }

    /// A host runs, and has been told what to load.
    pub(super) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The next thing the host does; never returns while there is none.
    pub(super) async fn news(&mut self) -> HostNews {
        match &mut self.process {
            Some(process) => process.news().await,
            None => std::future::pending().await,
        }
    }

    fn start(&mut self, command: &HostCommand, tuning: &Tuning, now: Moment) {
        self.starts += 1;
        match HostProcess::start(command, now) {
            Ok(process) => {
                tracing::info!(pid = process.pid(), "plugin host started");
                self.process = Some(process);
            }
            Err(error) => {
                let text = format!("{} cannot be started: {error}", command.program.display());
                tracing::error!("{text}");
                self.failed(text, tuning, now);
            }
        }
    }

    fn failed(&mut self, why: String, tuning: &Tuning, now: Moment) {
        let doubled = 1_u32.checked_shl(self.young_deaths).unwrap_or(u32::MAX);
        self.start_at = now + tuning.restart_first.saturating_mul(doubled).min(tuning.restart_cap);
        self.young_deaths = self.young_deaths.saturating_add(1);
        self.last_loss = Some(why);
    }

    /// Sends a ping, unless one is under way.
    pub(super) fn ping(&mut self, now: Moment) {
        let Some(process) = self.process.as_mut().filter(|process| process.greeted && process.unanswered.is_none()) else {
            return;
        };
        self.nonce += 1;
        process.unanswered = Some((self.nonce, now));
        process.pinged = now;
        // A host that does not even read is noticed by its silence.
        drop(process.send(&ToHost::Ping { nonce: self.nonce }));
    }

    /// This process did not run for a while: the host gets its time anew.
    pub(super) fn forgive(&mut self, now: Moment) {
        if let Some(process) = &mut self.process {
            process.heard = now;
            process.unanswered = process.unanswered.map(|(nonce, _)| (nonce, now));
        }
    }

    /// When the host is too silent, if it stays so.
    fn silent_at(&self, tuning: &Tuning) -> Option<Moment> {
        let process = self.process.as_ref()?;
        if !process.greeted {
            return Some(process.started + GREETING);
        }
        process.unanswered.map(|(_, sent)| sent.max(process.heard) + tuning.silence)
    }

    fn ping_at(&self, tuning: &Tuning, busy: bool) -> Option<Moment> {
        let process = self.process.as_ref().filter(|process| process.greeted && process.unanswered.is_none())?;
        Some(process.pinged + if busy { tuning.busy_ping } else { tuning.idle_ping })
    }

    pub(super) fn wake_at(&self, tuning: &Tuning, busy: bool) -> Option<Moment> {
        let start = self.process.is_none().then_some(self.start_at);
        let next = [start, self.silent_at(tuning), self.ping_at(tuning, busy)];
        next.into_iter().flatten().min()
    }

    fn bury(&mut self) {
        self.dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    pub(super) fn status(&self) -> HostStatus {
        let pid = self.process.as_ref().map(HostProcess::pid);
        HostStatus { pid, restarts: self.starts.saturating_sub(1), last_loss: self.last_loss.clone() }
    }

    /// Ends the host for good. Waits a moment for its death, so that nothing is left behind in the ordinary case.
    pub(super) async fn end(&mut self) {
        self.dying.extend(self.process.take().map(HostProcess::kill));
        for _ in 0..100 {
            self.bury();
            if self.dying.is_empty() {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Broker {
    /// Starts, pings and judges the host.
    pub(super) fn watch_host(&mut self, now: Moment) {
        self.hosting.bury();
        while let Some(late) = self.calls.late(self.config.tuning.silence, now) {
            match late {
                Late::Cancel(call) => self.say(&ToHost::Cancel { call }, now),
                Late::Hopeless(_) => self.host_lost("it did not end a call that was cancelled".to_owned(), now),
            }
        }
        let tuning = self.config.tuning;
        if self.hosting.silent_at(&tuning).is_some_and(|at| at <= now) {
            self.host_lost("it was silent for too long".to_owned(), now);
        }
        if self.hosting.process.is_none() && self.hosting.start_at <= now {
            self.start_host(now);
        }
        let busy = !self.calls.is_empty();
        if self.hosting.ping_at(&tuning, busy).is_some_and(|at| at <= now) {
            self.hosting.ping(now);
        }
        for index in 0..self.plugins.len() {
            if self.plugins[index].reload_due(now) {
                let load = self.plugins[index].to_load();
                self.say(&ToHost::Load(load), now);
            }
        }
    }

    fn start_host(&mut self, now: Moment) {
        if self.plugins.is_empty() {
            self.hosting.start_at = Moment::MAX;
            return;
        }
        self.hosting.start(&self.config.host, &self.config.tuning, now);
        if !self.hosting.is_up() {
            return;
        }
        self.say(&ToHost::Hello { version: VERSION }, now);
        for index in 0..self.plugins.len() {
            let load = self.plugins[index].to_load();
            self.say(&ToHost::Load(load), now);
        }
    }

    /// Says something to the host, if there is one. One that does not take it is given up.
    pub(super) fn say(&mut self, message: &ToHost, now: Moment) {
        let Some(process) = &self.hosting.process else { return };
        if let Err(error) = process.send(message) {
            self.host_lost(error.to_string(), now);
        }
    }

    fn host_lost(&mut self, why: String, now: Moment) {
        let Some(process) = self.hosting.process.take() else { return };
        tracing::error!(pid = process.pid(), why, "plugin host lost");
        if now.since(process.started) >= SETTLED {
            self.hosting.young_deaths = 0;
        }
        self.hosting.dying.push(process.kill());
        for running in self.calls.end_all() {
            let (outcome, duration) = (Outcome::Host(why.clone()), now.since(running.started));
            let ended = Ended { outcome, stderr: String::new(), duration };
            let notice = self.plugins[running.plugin].finished(running.event, ended, Verdict::Lost, now);
            self.untold.push(notice);
        }
        self.plugins.iter_mut().for_each(super::Plugin::host_lost);
        self.hosting.failed(why, &self.config.tuning, now);
    }

    /// The host has done something by itself.
    pub(super) fn host_news(&mut self, news: HostNews, now: Moment) {
        let message = match news {
            HostNews::Said(message) => message,
            HostNews::Gone(why) => return self.host_lost(why, now),
        };
        let Some(process) = &mut self.hosting.process else { return };
        process.heard = now;
        if !process.greeted {
            match message {
                ToAgent::Hello { version: VERSION } => process.greeted = true,
                ToAgent::Hello { version } => {
                    self.host_lost(format!("it speaks version {version} of the protocol, the agent speaks {VERSION}"), now);
                }
                _ => self.host_lost("it did not greet".to_owned(), now),
            }
            return;
        }
        match message {
            ToAgent::Hello { .. } => self.host_lost("it greeted twice".to_owned(), now),
            ToAgent::Pong { nonce } => {
                process.unanswered = process.unanswered.filter(|(waiting, _)| *waiting != nonce);
            }
            ToAgent::Loaded(loaded) => match self.index(&loaded.plugin) {
                Some(index) => self.plugins[index].loaded(loaded, now),
                None => self.host_lost("it loaded a plugin that nobody has".to_owned(), now),
            },
            ToAgent::LoadFailed { plugin, failure } => self.load_failed(&plugin, &failure, now),
            ToAgent::Request { call, request, op } => self.request(call, request, op, now),
            ToAgent::Log { plugin, call: _, level, text } => log(&plugin, level, &text),
            ToAgent::Done(done) => self.done(done, now),
        }
    }

    fn load_failed(&mut self, plugin: &PluginId, failure: &LoadFailure, now: Moment) {
        if let Some(index) = self.index(plugin) {
            self.plugins[index].not_loaded(failure, now);
        }
    }

    fn done(&mut self, done: Done, now: Moment) {
        let Done { call, outcome, cpu_us: _, wall_us: _, stderr } = done;
        let Some(running) = self.calls.end(call) else {
            return self.host_lost("it ended a call that was not under way".to_owned(), now);
        };
        let plugin = &mut self.plugins[running.plugin];
        if !stderr.is_empty() {
            log(&plugin.config.id, Level::Warn, &stderr);
        }
        // What was cancelled had its requests refused, so its own opinion of its success does not count.
        let outcome = if running.cancelled { Outcome::WallExceeded } else { shortened(outcome) };
        let verdict = queue::verdict(&outcome);
        let ended = Ended { outcome, stderr: cut(&stderr).to_owned(), duration: now.since(running.started) };
        let notice = plugin.finished(running.event, ended, verdict, now);
        self.untold.push(notice);
    }

    fn index(&self, plugin: &PluginId) -> Option<usize> {
        self.plugins.iter().position(|known| known.config.id == *plugin)
    }
}

fn log(plugin: &PluginId, level: Level, text: &str) {
    // A guest shall not be able to forge lines of the agent's log.
    let text = cut(text).escape_debug().to_string();
    match level {
        Level::Trace => tracing::trace!(%plugin, "{text}"),
        Level::Debug => tracing::debug!(%plugin, "{text}"),
        Level::Info => tracing::info!(%plugin, "{text}"),
        Level::Warn => tracing::warn!(%plugin, "{text}"),
        Level::Error => tracing::error!(%plugin, "{text}"),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

fn shortened(outcome: Outcome) -> Outcome {
    use crate::protocol::PluginError;
    let short = |text: String| cut(&text).to_owned();
    match outcome {
        Outcome::Plugin(PluginError::Transient(text)) => Outcome::Plugin(PluginError::Transient(short(text))),
        Outcome::Plugin(PluginError::Permanent(text)) => Outcome::Plugin(PluginError::Permanent(short(text))),
        Outcome::Plugin(PluginError::Other(text)) => Outcome::Plugin(PluginError::Other(short(text))),
        Outcome::Trap { kind, message } => Outcome::Trap { kind, message: short(message) },
        Outcome::BudgetExceeded(text) => Outcome::BudgetExceeded(short(text)),
        Outcome::Host(text) => Outcome::Host(short(text)),
        same => same,
    }
}
