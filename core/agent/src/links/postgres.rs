//! The link to the local PostgreSQL: a task that looks at it, and short calls over sessions.
//!
//! Looks are cheap and frequent while something changes, rare while nothing does, and at once when somebody expects a change. Between two
//! looks nothing is assumed; what a look found is told to the loop as a fact.

use super::{DirectoryLink, GuardLink};
use crate::run::{Fact, Facts, clock};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tanist_engine::{Epoch, Lsn, Moment, Postgres, ServerRole, SyncNames, WriteProof};
use tanist_guard::protocol::Command;
use tanist_postgres::{InForce, NewSession, OnDisk, Prober, SessionError, Settings, Started, layout, new_session, prove, sql};
use tokio::sync::{Notify, watch};

/// One step of a look may take this long.
const LIMIT: Duration = Duration::from_secs(1);
/// Between looks while a start, a promotion or a change of names is under way.
const SOON: Duration = Duration::from_millis(25);
/// Between looks while a standby or a primary waits for its counterpart.
const WAITING: Duration = Duration::from_millis(200);
/// Between looks while all is well.
const IDLE: Duration = Duration::from_secs(1);
/// Between two new sessions, which tell a hung postmaster from a healthy one.
const NEWCOMER: Duration = Duration::from_secs(5);

/// The agent's end. Cheap to clone.
#[derive(Clone)]
pub struct PostgresLink {
    shared: Arc<Shared>,
    found: watch::Receiver<Postgres>,
}

struct Shared {
    settings: Mutex<Arc<Settings>>,
    state: Mutex<State>,
    in_force: InForce,
    kick: Notify,
}

#[derive(Default)]
struct State {
    proof: Option<WriteProof>,
    facts: Option<tanist_postgres::Facts>,
    error: Option<String>,
    /// The kept session is to be closed before the server is stopped.
    let_go: bool,
    /// How the server is being started, as whoever starts it says.
    starting_as_primary: Option<bool>,
}

impl PostgresLink {
    /// Starts the task that looks.
    pub fn spawn(settings: Settings, guard: GuardLink, directory: Arc<DirectoryLink>, facts: Facts) -> Self {
        let settings = Arc::new(settings);
        let prober = Prober::new(settings.clone(), LIMIT);
        let shared = Arc::new(Shared {
            settings: Mutex::new(settings),
            state: Mutex::default(),
            in_force: prober.in_force(),
            kick: Notify::new(),
        });
        let (publish, found) = watch::channel(Postgres::Unknown);
        let looker = Looker {
            shared: shared.clone(),
            prober,
            guard,
            directory,
            facts,
            publish,
            postmaster: None,
            settled: None,
            sessions_told: 0,
        };
        tokio::spawn(looker.run());
        Self { shared, found }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        lock(&self.shared.settings).clone()
    }

    /// Other settings, from the dynamic configuration.
    pub fn configure(&self, settings: Settings) {
        *lock(&self.shared.settings) = Arc::new(settings);
        self.shared.kick.notify_one();
    }

    /// Look now.
    pub fn probe_now(&self) {
        self.shared.kick.notify_one();
    }

    /// What the looks find, as they end.
    pub fn found(&self) -> watch::Receiver<Postgres> {
        self.found.clone()
    }

    /// Beside the newest look, for REST.
    pub fn facts(&self) -> Option<tanist_postgres::Facts> {
        lock(&self.shared.state).facts.clone()
    }

    /// Why the newest look got no answer.
    pub fn error(&self) -> Option<String> {
        lock(&self.shared.state).error.clone()
    }

    /// Where the primary's timeline begins.
    pub fn timeline_begin(&self) -> Option<Lsn> {
        match &*self.found.borrow() {
            Postgres::Running(running) => match running.role {
                ServerRole::Primary { timeline_begin, .. } => timeline_begin,
                ServerRole::Standby { .. } => None,
            },
            _ => None,
        }
    }

    /// A server is about to be started, as a primary or as a standby.
    pub fn will_start(&self, as_primary: bool) {
        lock(&self.shared.state).starting_as_primary = Some(as_primary);
    }

    /// Closes the kept session at the next opportunity: the server is about to be stopped.
    pub fn let_go(&self) {
        lock(&self.shared.state).let_go = true;
        self.shared.kick.notify_one();
    }

    /// Runs the write probe.
    pub async fn prove(&self, epoch: Epoch) -> Result<(), SessionError> {
        let proof = prove::prove(&self.settings(), epoch, clock::now(), LIMIT).await?;
        lock(&self.shared.state).proof = Some(proof);
        Ok(())
    }

    /// Puts the names in force.
    pub async fn set_sync_names(&self, names: &SyncNames) -> Result<(), sql::SqlError> {
        sql::set_sync_names(&self.settings(), &self.shared.in_force, names, Duration::from_secs(3)).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task.
struct Looker {
    shared: Arc<Shared>,
    prober: Prober,
    guard: GuardLink,
    directory: Arc<DirectoryLink>,
    facts: Facts,
    publish: watch::Sender<Postgres>,
    /// The postmaster looked at, and how it was started.
    postmaster: Option<(i32, Started)>,
    /// The postmaster that was seen to answer.
    settled: Option<i32>,
    sessions_told: u32,
}

impl Looker {
    async fn run(mut self) {
        let (newcomer_result, mut newcomers) = tokio::sync::mpsc::channel::<(Moment, NewSession)>(1);
        let mut next_newcomer = clock::now();
        let mut newcomer_out = false;
        loop {
            let begun = clock::now();
            let found = self.look(begun).await;
            let pause = pause_after(&found, lock(&self.shared.settings).synchronous);
            self.tell(found, begun);
            if !newcomer_out && self.postmaster.is_some() && begun >= next_newcomer {
                (newcomer_out, next_newcomer) = (true, begun + NEWCOMER);
                let (settings, result) = (lock(&self.shared.settings).clone(), newcomer_result.clone());
                tokio::spawn(async move {
                    let outcome = new_session::probe(&settings, LIMIT).await;
                    let _looker_has_ended = result.send((begun, outcome)).await;
                });
            }
            tokio::select! {
                () = self.shared.kick.notified() => {}
                Some((tried, outcome)) = newcomers.recv() => {
                    newcomer_out = false;
                    self.prober.note(tried, &outcome);
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn look(&mut self, now: Moment) -> Postgres {
        let settings = lock(&self.shared.settings).clone();
        self.directory.look();
        let Some(pid) = self.guard.postmaster() else {
            if self.postmaster.take().is_some() {
                self.gone();
            }
            return match layout::inspect(&settings, Duration::from_secs(10)).await {
                Ok(found) => self.on_disk(&found),
                Err(error) => {
                    lock(&self.shared.state).error = Some(error.to_string());
                    tracing::error!("the data directory cannot be looked at: {error}");
                    Postgres::Unknown
                }
            };
        };
        let started = match self.postmaster {
            Some((known, started)) if known == pid => started,
            _ => {
                self.gone();
                // The start of an agent before this one can only be told from what the guard left there.
                let told = lock(&self.shared.state).starting_as_primary.take();
                let as_primary = told.unwrap_or_else(|| !settings.data_dir.join("standby.signal").exists());
                let started = Started { since: now, as_primary };
                self.postmaster = Some((pid, started));
                started
            }
        };
        if std::mem::take(&mut lock(&self.shared.state).let_go) {
            self.prober.gone();
        }
        self.prober.configure(settings);
        let mut found = self.prober.look(now, started).await;
        if matches!(found, Postgres::Running(_)) && self.settled != Some(pid) {
            self.settle(pid).await;
        }
        let mut state = lock(&self.shared.state);
        state.facts = self.prober.facts().cloned();
        state.error = self.prober.error().map(ToString::to_string);
        add_proof(&mut found, state.proof);
        found
    }

    /// A server that answers is consistent: if its directory was rewound it needs no more of whom it was rewound from.
    async fn settle(&mut self, pid: i32) {
        let settings = lock(&self.shared.settings).clone();
        match tokio::task::spawn_blocking(move || layout::settle(&settings)).await {
            Ok(Ok(())) => self.settled = Some(pid),
            Ok(Err(error)) => tracing::warn!("the mark of a rewound data directory cannot be removed: {error}"),
            Err(error) => tracing::warn!("the mark of a rewound data directory was not looked for: {error}"),
        }
    }

    fn on_disk(&self, found: &OnDisk) -> Postgres {
        let mut state = lock(&self.shared.state);
        (state.facts, state.error) = (None, None);
        found.postgres()
    }

    /// What was known of the server is true of no other.
    fn gone(&mut self) {
        self.prober.gone();
        let mut state = lock(&self.shared.state);
        (state.proof, state.facts) = (None, None);
    }

    fn tell(&mut self, found: Postgres, begun: Moment) {
        let sessions = lock(&self.shared.state).facts.as_ref().map_or(0, |facts| facts.sessions);
        // The guard's budget counts in steps of 50 sessions; small changes are not worth a message.
        if sessions.abs_diff(self.sessions_told) >= 25 && self.guard.send(&Command::Sessions { count: sessions }).is_ok() {
            self.sessions_told = sessions;
        }
        self.publish.send_replace(found.clone());
        self.facts.tell(Fact::Postgres { found, begun });
    }
}

fn add_proof(found: &mut Postgres, known: Option<WriteProof>) {
    let Postgres::Running(running) = found else { return };
    if let ServerRole::Primary { position, proof, .. } = &mut running.role {
        *proof = known.filter(|known| known.timeline == position.timeline);
    }
}

fn pause_after(found: &Postgres, synchronous: bool) -> Duration {
    match found {
        Postgres::Unknown | Postgres::Starting { .. } => SOON,
        Postgres::Unresponsive { .. } => WAITING,
        Postgres::NoData | Postgres::HalfMade | Postgres::Stopped(_) => IDLE,
        Postgres::Running(running) => match &running.role {
            ServerRole::Primary { names_in_force: None, .. } => SOON,
            ServerRole::Primary { standbys, .. } if synchronous && standbys.iter().all(|standby| !standby.sync) => WAITING,
            ServerRole::Standby { streaming: false, .. } | ServerRole::Standby { position: None, .. } => WAITING,
            _ => IDLE,
        },
    }
}
