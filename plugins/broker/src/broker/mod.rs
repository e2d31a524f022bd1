//! The broker's one task: takes what the agent says, decides what to call, keeps the host alive, and answers its requests.
//!
//! It runs on a thread and a runtime of its own and waits for nothing but news: journals are written and effects carried out beside
//! it. [`Broker::turn`] brings everything up to date and returns when it has to run again at the latest.

mod calls;
mod hosting;
mod requests;

use crate::{
    BrokerConfig, BrokerHandle, BrokerStatus, Leadership, Notice,
    compose::Composer,
    durable::{RealDisk, make_directory},
    handle::Ending,
    host::HostNews,
    inbox::{Content, Inbox},
    is_id,
    leadership::now,
    order::{OrderError, predecessors},
    plugin::{JournalDone, Plugin},
    protocol::{Call, Event, PluginId, ToHost, View, Work},
    shared_ledger::SharedLedger,
};
use calls::Calls;
use hosting::Hosting;
use requests::EffectDone;
use std::{collections::HashMap, io, path::PathBuf, sync::Arc, thread, time::Duration};
use tanist_engine::Moment;
use tanist_queue::Delivery;
use tokio::{
    runtime,
    sync::{broadcast, watch},
    task::JoinSet,
    time::sleep,
};

/// Notices that a slow reader may be behind.
const MAX_NOTICES: usize = 1_024;

/// A turn so late means that this process did not run.
const STALL: Duration = Duration::from_millis(200);

/// Looks at least this often, so that a forgotten wake-up is a delay and no standstill.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The directory of the journals.
    #[error("{}: {error}", path.display())]
    JournalDirectory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// An id that cannot name a file.
    #[error("plugins.{0}: an id is made of 1 to 63 lower-case letters, digits and hyphens")]
    Id(PluginId),
    /// They cannot be run together.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// No thread, or no runtime on it.
    #[error("the broker's thread: {0}")]
    Thread(io::Error),
}

/// The broker. Exists only on its own thread; the agent holds a [`BrokerHandle`].
#[derive(Debug)]
pub struct Broker {
    config: BrokerConfig,
    inbox: Arc<Inbox>,
    leadership: watch::Receiver<Leadership>,
    ending: watch::Receiver<Ending>,
    /// When it has to end, once it has to.
    end_at: Option<Moment>,
    status: watch::Sender<Arc<BrokerStatus>>,
    notices: broadcast::Sender<Notice>,
    /// Ends of calls that nobody was told of yet: the status comes first.
    untold: Vec<Notice>,
    composer: Composer,
    plugins: Vec<Plugin>,
    hosting: Hosting,
    calls: Calls,
    ledger: SharedLedger,
    /// For each plugin those that are called before it.
    order: Vec<Vec<usize>>,
    name_locks: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    effects: JoinSet<EffectDone>,
    journals: JoinSet<(usize, JournalDone)>,
    planned: Moment,
}

/// What wakes the broker.
enum News {
    Host(HostNews),
    Effect(EffectDone),
    Journal(usize, JournalDone),
    Agent,
    /// The last handle was dropped.
    Orphaned,
    Time,
}

impl Broker {
    /// Reads the journals and starts the broker on a thread of its own.
    pub fn spawn(config: BrokerConfig) -> Result<BrokerHandle, BrokerError> {
        if let Some(plugin) = config.plugins.iter().find(|plugin| !is_id(&plugin.id.0)) {
            return Err(BrokerError::Id(plugin.id.clone()));
        }
        let order = predecessors(&config.plugins)?;
        let path = &config.journal_dir;
        make_directory(path).map_err(|error| BrokerError::JournalDirectory { path: path.clone(), error })?;
        let (leadership, leadership_seen) = watch::channel(Leadership::default());
        let (ending, ending_seen) = watch::channel(Ending::No);
        let (status, status_seen) = watch::channel(Arc::default());
        let handle = BrokerHandle {
            inbox: Arc::default(),
            leadership: Arc::new(leadership),
            ending: Arc::new(ending),
            status: status_seen,
            notices: broadcast::Sender::new(MAX_NOTICES),
        };
        let (inbox, notices) = (Arc::clone(&handle.inbox), handle.notices.clone());
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(BrokerError::Thread)?;
        let run = move || {
            let broker = Self::new(config, order, inbox, leadership_seen, ending_seen, status, notices);
            runtime.block_on(broker.run());
            // Not waiting for a journal that hangs on a dead disk.
            runtime.shutdown_background();
        };
        thread::Builder::new().name("tanist-broker".to_owned()).spawn(run).map_err(BrokerError::Thread)?;
        Ok(handle)
    }

    fn new(
        config: BrokerConfig,
        order: Vec<Vec<usize>>,
        inbox: Arc<Inbox>,
        leadership: watch::Receiver<Leadership>,
        ending: watch::Receiver<Ending>,
        status: watch::Sender<Arc<BrokerStatus>>,
        notices: broadcast::Sender<Notice>,
    ) -> Self {
        let now = now();
        let disk: Arc<RealDisk> = Arc::new(RealDisk);
        let load =
            |plugin: &crate::PluginConfig| Plugin::new(plugin.clone(), disk.clone(), &config.journal_dir, &config.tuning, now);
        let (plugins, sequences): (Vec<Plugin>, Vec<u64>) = config.plugins.iter().map(load).unzip();
        let sequence = sequences.into_iter().max().unwrap_or(0);
        let leaders = plugins.iter().map(Plugin::leaders).max_by_key(|leaders| leaders.epoch).cloned().unwrap_or_default();
        let composer = Composer::new(config.cluster.clone(), config.node.clone(), sequence, leaders);
        Self {
            inbox,
            leadership,
            ending,
            end_at: None,
            status,
            notices,
            untold: Vec::new(),
            composer,
            plugins,
            hosting: Hosting::new(now),
            calls: Calls::default(),
            ledger: SharedLedger::open(disk.clone(), &config.journal_dir, config.tuning.journal_patience),
            order,
            name_locks: HashMap::new(),
            effects: JoinSet::new(),
            journals: JoinSet::new(),
            planned: now,
            config,
        }
    }

    async fn run(mut self) {
        loop {
            let wake = self.turn(now());
            self.publish();
            let Some(wake) = wake else { break };
            match self.news(wake).await {
                News::Host(news) => self.host_news(news, now()),
                News::Effect(done) => self.effect_done(done, now()),
                News::Journal(plugin, done) => self.plugins[plugin].journal_done(done, now()),
                News::Orphaned => self.end_at = Some(now()),
                News::Agent | News::Time => {}
            }
        }
        self.hosting.end().await;
    }

    async fn news(&mut self, wake: Moment) -> News {
        let pause = wake.since(now());
        let Self { hosting, effects, journals, inbox, leadership, ending, .. } = self;
        tokio::select! {
            news = hosting.news() => News::Host(news),
            Some(Ok(done)) = effects.join_next() => News::Effect(done),
            Some(Ok((plugin, done))) = journals.join_next() => News::Journal(plugin, done),
            () = inbox.changed() => News::Agent,
            changed = leadership.changed() => if changed.is_ok() { News::Agent } else { News::Orphaned },
            changed = ending.changed() => if changed.is_ok() { News::Agent } else { News::Orphaned },
            () = sleep(pause) => News::Time,
        }
    }

    /// Brings everything up to date. `None`: it is time to end.
    fn turn(&mut self, now: Moment) -> Option<Moment> {
        let late = now.since(self.planned);
        if late > STALL {
            self.calls.forgive(late);
            self.hosting.forgive(now);
        }
        self.take_inbox(now);
        self.take_leadership(now);
        self.watch_host(now);
        self.write_journals(now);
        self.deliver(now);
        if self.ends(now) {
            return None;
        }
        self.planned = self.wake_at(now).max(now);
        Some(self.planned)
    }

    fn take_inbox(&mut self, now: Moment) {
        let Content { events, face, dropped } = self.inbox.take();
        if dropped > 0 {
            tracing::warn!(dropped, "more events than could be taken");
        }
        for context in events {
            let (event, release) = self.composer.event(context);
            self.plugins.iter_mut().for_each(|plugin| plugin.push(&event, release.as_ref(), now));
        }
        if face.is_some_and(|face| self.composer.face(face)) {
            self.plugins.iter_mut().for_each(|plugin| plugin.queue.face_changed(now));
        }
        self.plugins.iter_mut().for_each(|plugin| plugin.saw_leaders(self.composer.leaders(), now));
    }

    fn take_leadership(&mut self, now: Moment) {
        let leadership = *self.leadership.borrow_and_update();
        let proved = self.composer.proved();
        self.plugins.iter_mut().for_each(|plugin| plugin.leadership(&leadership, proved, now));
    }

    fn write_journals(&mut self, now: Moment) {
        for (index, plugin) in self.plugins.iter_mut().enumerate() {
            if let Some(job) = plugin.journal_job(now) {
                self.journals.spawn_blocking(move || (index, job.run()));
            }
        }
    }

    fn deliver(&mut self, now: Moment) {
        if !self.hosting.is_up() {
            return;
        }
        for index in 0..self.plugins.len() {
            if self.held_up(index, now).is_some() {
                continue;
            }
            if let Some(delivery) = self.plugins[index].next(now) {
                self.call(index, delivery, now);
            }
        }
        // A plugin without callbacks acknowledges its events without a call.
        self.write_journals(now);
    }

    /// Until when a plugin waits for those that it comes after, unless they are done before.
    fn held_up(&self, index: usize, now: Moment) -> Option<Moment> {
        let sequence = self.plugins[index].queue.due_event(now)?;
        self.order[index].iter().filter_map(|before| self.plugins[*before].holds_up(sequence, now)).max()
    }

    fn call(&mut self, index: usize, delivery: Delivery<Event>, now: Moment) {
        let config = &self.plugins[index].config;
        let (epoch, event, work) = match delivery {
            Delivery::Event(event) => (event.epoch, Some((&*event).into()), Work::Callback(event)),
            Delivery::Reconcile(cause) => {
                let view = View { dry_run: config.dry_run, ..self.composer.view(cause.name()) };
                (view.epoch, None, Work::Reconcile(Box::new(view)))
            }
        };
        let wall = config.wall(self.leadership.borrow().ttl);
        let call = self.calls.begin(index, epoch, event, wall, self.config.tuning.wall_slack, now);
        let (wall_ms, cpu_ms) = (millis(wall), millis(config.manifest.cpu));
        let message = ToHost::Call(Call { call, plugin: config.id.clone(), work, wall_ms, cpu_ms });
        self.say(&message, now);
        self.hosting.ping(now);
    }

    fn ends(&mut self, now: Moment) -> bool {
        if let Ending::Within(grace) = *self.ending.borrow_and_update() {
            self.end_at.get_or_insert(now + grace);
        }
        let Some(end_at) = self.end_at else { return false };
        end_at <= now || self.plugins.iter().all(|plugin| plugin.is_idle() && plugin.journal_settled(now))
    }

    fn wake_at(&self, now: Moment) -> Moment {
        let lease = self.leadership.borrow().lease_until.filter(|until| *until > now);
        let wake = |index: usize| self.held_up(index, now).or_else(|| self.plugins[index].wake_at());
        let plugins = (0..self.plugins.len()).filter_map(wake);
        let journals = self.end_at.map(|end| end.min(now + self.config.tuning.journal_patience));
        let host = [self.hosting.wake_at(&self.config.tuning, !self.calls.is_empty()), self.calls.wake_at(), lease, journals];
        plugins.chain(host.into_iter().flatten()).fold(now + HEARTBEAT, Moment::min)
    }

    /// Shows the status, then tells of calls that have ended: who hears of one finds it in the status.
    fn publish(&mut self) {
        let plugins = self.plugins.iter().map(Plugin::status).collect();
        let status = BrokerStatus {
            plugins,
            host: self.hosting.status(),
            ledger: self.ledger.entries(),
            ledger_problem: self.ledger.problem(),
        };
        self.status.send_if_modified(|shown| {
            let changed = **shown != status;
            if changed {
                *shown = Arc::new(status);
            }
            changed
        });
        for notice in self.untold.drain(..) {
            // An error means that nobody listens.
            let _ = self.notices.send(notice);
        }
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
