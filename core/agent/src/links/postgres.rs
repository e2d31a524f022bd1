//! The link to the local PostgreSQL: a task that looks at it, and short calls over sessions.
//!
//! Looks are cheap and frequent while something changes, rare while nothing does, and at once when somebody expects a change. Between two
//! looks nothing is assumed; what a look found is told to the loop as a fact. Files are looked at on other threads: while a disk hangs
//! there is at most one look that waits for it, and no news.

use super::{DirectoryLink, GuardLink};
use crate::run::{Fact, Facts, clock};
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tanist_engine::{Epoch, Moment, Postgres, ServerRole, SyncNames, WriteProof};
use tanist_guard::protocol::Command;
use tanist_patroni::{RestartReason, ValueChange};
use tanist_postgres::{
    InForce, NewSession, OnDisk, PendingRestart, Prober, SessionError, Settings, Started, TurnedAway, layout, new_session, prove,
    sql,
};
use tokio::sync::{Notify, mpsc, watch};

/// One step of a look may take this long.
const LIMIT: Duration = Duration::from_secs(1);
/// Between looks while a start, a promotion or a change of names is under way.
const SOON: Duration = Duration::from_millis(25);
/// Between looks while a standby or a primary waits for its counterpart.
const WAITING: Duration = Duration::from_millis(200);
/// Between looks while all is well.
const IDLE: Duration = Duration::from_secs(1);

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
    /// Since when no server runs and the data directory cannot be looked at.
    unreadable: Option<Moment>,
    /// The server lives and turns new sessions of ours away.
    turned_away: Option<TurnedAway>,
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

    /// Parameters that wait for a restart.
    pub fn pending_restart(&self) -> RestartReason {
        let pending = self.facts().map(|known| known.pending_restart).unwrap_or_default();
        let change = |PendingRestart { parameter, old, new }| (parameter, ValueChange { old_value: old, new_value: new });
        RestartReason(pending.into_iter().map(change).collect())
    }

    /// Why the newest look got no answer.
    pub fn error(&self) -> Option<String> {
        lock(&self.shared.state).error.clone()
    }

    /// Since when no server runs and what is in the data directory cannot be found out.
    pub fn unreadable(&self) -> Option<Moment> {
        lock(&self.shared.state).unreadable
    }

    /// A server lives and refuses our login: it can be told only what takes no session.
    pub fn refuses_login(&self) -> bool {
        matches!(lock(&self.shared.state).turned_away, Some(TurnedAway::Refused(_)))
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
        let (newcomer_result, mut newcomers) = mpsc::channel::<(Moment, NewSession)>(1);
        let mut next_newcomer = clock::now();
        let mut newcomer_out = false;
        loop {
            let begun = clock::now();
            let found = self.look(begun).await;
            let pause = match self.prober.error() {
                // Each attempt is a line in the server's log.
                Some(SessionError::Full(_) | SessionError::Refused { .. }) => IDLE,
                _ if lock(&self.shared.state).unreadable.is_some() => IDLE,
                _ => pause_after(&found, lock(&self.shared.settings).synchronous),
            };
            self.tell(found, begun);
            if !newcomer_out && self.postmaster.is_some() && begun >= next_newcomer {
                newcomer_out = true;
                self.try_newcomer(begun, newcomer_result.clone());
            }
            let newcomer_follows = self.postmaster.is_some() && !newcomer_out;
            let pause = if newcomer_follows { pause.min(next_newcomer.since(clock::now())) } else { pause };
            tokio::select! {
                () = self.shared.kick.notified() => {}
                Some((tried, outcome)) = newcomers.recv() => {
                    newcomer_out = false;
                    self.prober.note(tried, &outcome);
                    next_newcomer = clock::now() + self.prober.newcomer_pause();
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Opens a new session beside the kept one, which tells a hung postmaster from a healthy one.
    fn try_newcomer(&self, begun: Moment, result: mpsc::Sender<(Moment, NewSession)>) {
        let settings = lock(&self.shared.settings).clone();
        tokio::spawn(async move {
            let outcome = new_session::probe(&settings, LIMIT).await;
            let _looker_has_ended = result.send((begun, outcome)).await;
        });
    }

    async fn look(&mut self, now: Moment) -> Postgres {
        let settings = lock(&self.shared.settings).clone();
        let Some(pid) = self.guard.postmaster() else {
            if self.postmaster.take().is_some() {
                self.gone();
            }
            self.look_at_directory().await;
            return match layout::inspect(&settings, Duration::from_secs(10)).await {
                Ok(found) => self.on_disk(&found),
                Err(error) => self.unreadable(now, error.to_string()),
            };
        };
        let started = match self.postmaster {
            Some((known, started)) if known == pid => started,
            _ => {
                self.gone();
                let told = lock(&self.shared.state).starting_as_primary.take();
                let as_primary = match told {
                    Some(told) => told,
                    None => started_as_primary(&settings.data_dir).await,
                };
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
        if detail(state.facts.as_ref()) != detail(self.prober.facts()) {
            self.facts.tell(Fact::Detail);
        }
        state.facts = self.prober.facts().cloned();
        let turned_away = self.prober.turned_away();
        state.error = turned_away.as_ref().map(ToString::to_string).or_else(|| self.prober.error().map(ToString::to_string));
        if turned_away != state.turned_away {
            match &turned_away {
                Some(why) => tracing::warn!("PostgreSQL lives and turns new sessions away: {why}"),
                None => tracing::info!("PostgreSQL serves new sessions again"),
            }
            state.turned_away = turned_away;
        }
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

    /// Whether the directory is still the known one. While a server runs in it nobody can replace it.
    async fn look_at_directory(&self) {
        let directory = self.directory.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || directory.look()).await {
            tracing::warn!("the data directory was not looked at: {error}");
        }
    }

    /// The same words are said once.
    fn unreadable(&self, now: Moment, error: String) -> Postgres {
        let mut state = lock(&self.shared.state);
        state.unreadable.get_or_insert(now);
        if state.error.as_ref() != Some(&error) {
            tracing::error!("the data directory cannot be looked at: {error}");
            state.error = Some(error);
        }
        Postgres::Unknown
    }

    fn on_disk(&self, found: &OnDisk) -> Postgres {
        let mut state = lock(&self.shared.state);
        (state.facts, state.error, state.turned_away, state.unreadable) = (None, None, None, None);
        found.postgres()
    }

    /// What was known of the server is true of no other.
    fn gone(&mut self) {
        self.prober.gone();
        let mut state = lock(&self.shared.state);
        (state.proof, state.facts, state.turned_away, state.unreadable) = (None, None, None, None);
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

/// What others are told besides what the engine knows.
fn detail(known: Option<&tanist_postgres::Facts>) -> (&[PendingRestart], bool) {
    known.map_or((&[], false), |known| (&known.pending_restart, known.in_archive_recovery))
}

/// How an agent before this one started the server: what the guard left there says it. Where the disk does not, it may be writable.
async fn started_as_primary(data_dir: &Path) -> bool {
    let signal = data_dir.join("standby.signal");
    let there = tokio::task::spawn_blocking(move || signal.try_exists().unwrap_or(false));
    !matches!(tokio::time::timeout(LIMIT, there).await, Ok(Ok(true)))
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
