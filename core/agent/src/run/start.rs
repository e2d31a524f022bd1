//! The composition of an agent: every part is made here, in the order they need each other, and nowhere else.

use super::{
    Ending, Fact, Facts, Loop, StatusCell, Story, World, clock,
    dynamic::{Dynamic, Source},
    effect::UnderWay,
    name::own_values,
    recorder::Recorder,
    store,
};
use crate::{
    cluster,
    config::Settings,
    execute::Tools,
    links::{
        DirectoryLink, FailsafeLink, GuardLink, LiveLink, NamesError, NamesLink, PeersLink, PluginsError, PluginsLink,
        PostgresLink, PromiseError, PromiseLink, SlotsLink, StorageLink, wal, watch_guard,
    },
    rest::{self, RestError},
};
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tanist_dcs::{
    Clock, Keys, Mirror, StoreError,
    lease::{Adopted, Keeper},
};
use tanist_engine::{Epoch, Memory, Moment, Reading};
use tanist_guard::{client::Connection, page::Page};
use tanist_postgres::{PlanError, plan::check_listen};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

/// Plugins get this long to hear of the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why an agent could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's address is unusable.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The connection point.
    #[error("{0}")]
    Names(#[from] NamesError),
    /// A plugin.
    #[error("{0}")]
    Plugins(#[from] PluginsError),
    /// The REST API.
    #[error("{0}")]
    Rest(#[from] RestError),
    /// The state directory.
    #[error("tanist.state_dir: {path}: {error}")]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What was promised before.
    #[error("tanist.state_dir: {0}")]
    Promise(#[from] PromiseError),
    /// PostgreSQL's addresses.
    #[error("postgresql.listen: {0}")]
    Listen(#[from] PlanError),
    /// The system.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Runs an agent to its end. `source` is where `settings` come from, `plugin_host` the program that runs plugins.
pub async fn run_agent(
    settings: Settings,
    source: Source,
    connection: Connection,
    plugin_host: PathBuf,
) -> Result<Ending, StartError> {
    let settings = Arc::new(settings);
    let (facts, news) = Facts::channel();
    let dynamic = Dynamic::new(settings.clone(), source);
    let policy = dynamic.policy();
    let guard = GuardLink::new(connection);
    watch_guard(guard.clone(), settings.postgres.data_dir.clone(), facts.clone())?;
    // Made only where it is missing: to ask for it would already wait for a disk that hangs.
    if !settings.state_dir.is_dir() {
        std::fs::create_dir_all(&settings.state_dir)
            .map_err(|error| StartError::StateDir { path: settings.state_dir.clone(), error })?;
    }
    if guard.page().postmaster().is_none() {
        for address in check_listen(&dynamic.postgres())? {
            tracing::warn!("postgresql.listen: {address}");
        }
    }
    let recorder = Recorder::start(&settings.state_dir)?;
    let promise = PromiseLink::open(&settings.state_dir)?;
    let directory = DirectoryLink::open(&settings.state_dir, &settings.postgres.data_dir)
        .map_err(|error| StartError::StateDir { path: settings.state_dir.clone(), error })?;
    let directory = Arc::new(directory);
    let failsafe = FailsafeLink::open(&settings.state_dir, settings.cluster.rest_credentials.as_ref());

    let store = cluster::open(&settings.cluster.store)?;
    let keys = Keys::new(&settings.cluster.namespace, &settings.cluster.scope);
    let keeper =
        Keeper::new(store.clone(), keys.clone(), settings.name.clone(), guard.page().nonce(), policy.ttl, Clock::system());
    keeper.tell_own(own_values(&settings));
    if let Some(adopted) = adopted(guard.page()) {
        tracing::info!(epoch = %adopted.epoch, "the guard is armed: going on with the lease of the agent before this one");
        keeper.adopt(adopted);
        if let Some((every, ttl)) = failsafe.kept_for(adopted.epoch, guard.page().nonce()) {
            keeper.adopt_named(every, ttl);
        }
    }
    keeper.answer_at(settings.rest.api_url());
    let mirror = Mirror::spawn(store.clone(), keys.prefix().to_owned(), Clock::system(), policy.ttl / 5);
    let postgres = PostgresLink::spawn(dynamic.postgres(), guard.clone(), directory.clone(), facts.clone());
    let tools = Arc::new(Tools {
        live: LiveLink::start(postgres.clone(), guard.clone(), facts.clone()),
        postgres,
        reload: Notify::new(),
        config: dynamic.last(),
        tags: Mutex::new(Arc::new(settings.tags.clone())),
        promise: Arc::new(promise),
        failsafe: Arc::new(failsafe),
        slots: SlotsLink::new(&settings.name.0, &settings.state_dir, dynamic.in_force()),
        directory,
        names: NamesLink::start(&settings.cluster, &settings.name, Arc::new(clock::now))?,
        plugins: PluginsLink::start(&settings, &plugin_host)?,
        storage: StorageLink::spawn(settings.storage, &settings.postgres.data_dir, facts.clone())?,
        peers: PeersLink::new(settings.name.clone(), settings.cluster.scope.clone()),
        facts: facts.clone(),
        settings,
        store,
        keeper,
        mirror,
        guard: guard.clone(),
    });
    let status = StatusCell::default();
    rest::serve(tools.clone(), status.clone(), recorder.story())?;
    spawn_tasks(&tools, dynamic, guard, (facts, status.clone()), recorder.story())?;
    let agent = Loop {
        world: World::new(tools.settings.name.clone()),
        memory: Memory::default(),
        policy,
        under_way: UnderWay::default(),
        recorder,
        status,
        tools: tools.clone(),
        news,
        timer: clock::Timer::new()?,
        confirming: false,
        vacant: false,
        twin_since: None,
        refused: None,
        ending: None,
    };
    let ending = agent.run().await?;
    if ending == Ending::Stopped {
        tools.plugins.shutdown(FAREWELL).await;
        if let Err(error) = tools.keeper.leave().await {
            tracing::warn!(%error, "the member key stays until it expires");
        }
    }
    Ok(ending)
}

fn spawn_tasks(
    tools: &Arc<Tools>,
    dynamic: Dynamic,
    guard: GuardLink,
    (facts, status): (Facts, StatusCell),
    story: Story,
) -> io::Result<()> {
    tokio::spawn(store::follow(tools.clone(), dynamic, facts.clone(), story));
    let keeper = tools.clone();
    tokio::spawn(async move { keeper.keeper.keep_expiry_alive().await });
    tokio::spawn(SlotsLink::keep(tools.clone()));
    tokio::spawn(wal::watch(tools.clone(), status));
    let reports = facts.clone();
    tokio::spawn(async move {
        if let Err(error) = guard.read_reports(reports.clone()).await {
            reports.tell(Fact::Fatal(format!("the guard's socket cannot be read: {error}")));
        }
    });
    let (mut hangup, reloads) = (signal(SignalKind::hangup())?, tools.clone());
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reloads.reload.notify_one();
        }
    });
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let (mut stop, facts) = (signal(kind)?, facts.clone());
        tokio::spawn(async move {
            while stop.recv().await.is_some() {
                tracing::info!("asked to stop");
                facts.tell(Fact::Stop);
            }
        });
    }
    Ok(())
}

/// What the page says an earlier agent held.
fn adopted(page: &Page) -> Option<Adopted> {
    let armed = page.arm_view()?;
    let until = Reading { boot: Moment::from_nanos(armed.boot), raw: Moment::from_nanos(armed.raw) };
    Some(Adopted { epoch: Epoch(armed.epoch), until })
}
