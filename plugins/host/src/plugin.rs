//! A loaded plugin: instances, and the one way to call them.
//!
//! One instance is kept warm between good calls. Whatever went wrong in a call (a trap, a limit, a time-out, a cancellation) ends
//! its instance: the sandbox would not let it be entered again, and a late guest must not go on with old work.

use crate::{
    Sandbox,
    bindings::{callbacks, reconcile},
    convert,
    fault::{self, chain},
    guest::{Guest, Kind},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tanist_broker::protocol::{Action, Call, Done, Export, LoadFailure, Outcome, Work};
use tokio::sync::oneshot;
use wasmtime::{Store, component::InstancePre};

/// An instance is replaced after so many calls: some languages' runtimes leak.
const CALLS_PER_INSTANCE: u32 = 1_000;

/// A component that is linked and ready to be called.
pub struct Plugin {
    sandbox: Sandbox,
    kind: Kind,
    linked: InstancePre<Guest>,
    callbacks: Option<callbacks::GuestIndices>,
    reconcile: Option<reconcile::GuestIndices>,
    warm: Mutex<Option<Instance>>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// One instance with its store.
struct Instance {
    store: Store<Guest>,
    callbacks: Option<callbacks::Guest>,
    reconcile: Option<reconcile::Guest>,
    calls: u32,
}

/// An instance that is not used any more.
pub struct Remains {
    _instance: Instance,
}

impl Plugin {
    pub(crate) async fn new(
        sandbox: Sandbox,
        kind: Kind,
        linked: InstancePre<Guest>,
        exports: &[Export],
    ) -> Result<Self, LoadFailure> {
        let misfit = |error: wasmtime::Error| LoadFailure::Incompatible(chain(&error));
        let has = |export| exports.contains(&export);
        let callbacks = has(Export::Callbacks).then(|| callbacks::GuestIndices::new(&linked)).transpose().map_err(misfit)?;
        let reconcile = has(Export::Reconcile).then(|| reconcile::GuestIndices::new(&linked)).transpose().map_err(misfit)?;
        let plugin = Self { sandbox, kind, linked, callbacks, reconcile, warm: Mutex::new(None) };
        let instance = plugin.instantiate().await?;
        plugin.keep(Some(instance));
        Ok(plugin)
    }

    /// Calls the plugin. `since` is when the call was received; `cancel` ends it when it fires (not when it is dropped). What is left
    /// over, if anything, is to be dropped when the end has been told: a guest's memory takes its time to go.
    pub async fn call(&self, call: Call, since: Instant, cancel: oneshot::Receiver<()>) -> (Done, Option<Remains>) {
        let Call { call, plugin: _, work, wall_ms, cpu_ms } = call;
        let wall = Duration::from_millis(wall_ms.into());
        let mut instance = match self.kept() {
            Some(instance) => instance,
            None => self.fresh(),
        };
        let (meter, output) = (Arc::clone(&instance.store.data().meter), instance.store.data().output.clone());
        instance.store.data_mut().begin(Some(call), Duration::from_millis(cpu_ms.into()), since + wall);
        let _running = self.sandbox.running();
        let work = meter.count(self.run(&mut instance, work, wall_ms));
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            Ok(()) = cancel => Outcome::Cancelled,
            () = tokio::time::sleep_until((since + wall).into()) => Outcome::WallExceeded,
        };
        let good = matches!(outcome, Outcome::Ok | Outcome::Plugin(_) | Outcome::NotExported);
        instance.calls += 1;
        let done = Done {
            call,
            cpu_us: micros(meter.used()),
            wall_us: micros(since.elapsed()),
            // What a healthy plugin prints is nobody's concern.
            stderr: if good { String::new() } else { output.tail() },
            outcome,
        };
        if good && instance.calls < CALLS_PER_INSTANCE {
            self.keep(Some(instance));
            return (done, None);
        }
        (done, Some(Remains { _instance: instance }))
    }

    /// Has an instance ready for the next call, if there is none. Failing to is found out by that call.
    pub async fn warm_up(&self) {
        if self.lock().is_none() {
            let instance = self.instantiate().await.ok();
            self.keep(instance);
        }
    }

    /// A store in which nothing is instantiated yet.
    fn fresh(&self) -> Instance {
        Instance { store: Guest::store(&self.sandbox, &self.kind), callbacks: None, reconcile: None, calls: 0 }
    }

    /// An instance outside of any call, within the limits of a load.
    async fn instantiate(&self) -> Result<Instance, LoadFailure> {
        let patience = Duration::from_millis(self.kind.limits.load_ms.into());
        let deadline = Instant::now() + patience;
        let mut instance = self.fresh();
        instance.store.data_mut().begin(None, patience, deadline);
        let meter = Arc::clone(&instance.store.data().meter);
        let _running = self.sandbox.running();
        let made = tokio::select! {
            made = meter.count(self.enter(&mut instance)) => made,
            () = tokio::time::sleep_until(deadline.into()) => return Err(fault::load_failure(Outcome::WallExceeded, "")),
        };
        match made {
            Ok(()) => Ok(instance),
            Err(error) => {
                let guest = instance.store.data();
                Err(fault::load_failure(fault::outcome(&error, guest), &guest.output.tail()))
            }
        }
    }

    /// Instantiates and looks the exported functions up; here a mismatch of types is found.
    async fn enter(&self, instance: &mut Instance) -> wasmtime::Result<()> {
        let made = self.linked.instantiate_async(&mut instance.store).await?;
        let callbacks = self.callbacks.as_ref().map(|indices| indices.load(&mut instance.store, &made)).transpose()?;
        let reconcile = self.reconcile.as_ref().map(|indices| indices.load(&mut instance.store, &made)).transpose()?;
        (instance.callbacks, instance.reconcile) = (callbacks, reconcile);
        Ok(())
    }

    async fn run(&self, instance: &mut Instance, work: Work, wall_ms: u32) -> Outcome {
        match self.try_run(instance, work, wall_ms).await {
            Ok(outcome) => outcome,
            Err(error) => fault::outcome(&error, instance.store.data()),
        }
    }

    async fn try_run(&self, instance: &mut Instance, work: Work, wall_ms: u32) -> wasmtime::Result<Outcome> {
        if instance.callbacks.is_none() && instance.reconcile.is_none() {
            self.enter(instance).await?;
        }
        let Instance { store, callbacks, reconcile, calls: _ } = instance;
        let result = match work {
            Work::Smoke => Ok(()),
            Work::Reconcile(view) => match reconcile {
                Some(guest) => guest.call_reconcile(store, &convert::view(*view, wall_ms)).await?,
                None => return Ok(Outcome::NotExported),
            },
            Work::Callback(event) => {
                let Some(guest) = callbacks else { return Ok(Outcome::NotExported) };
                let (action, event) = (event.action, convert::event(*event, wall_ms));
                match action {
                    Action::OnStart => guest.call_on_start(store, &event).await?,
                    Action::OnStop => guest.call_on_stop(store, &event).await?,
                    Action::OnRestart => guest.call_on_restart(store, &event).await?,
                    Action::OnReload => guest.call_on_reload(store, &event).await?,
                    Action::OnRoleChange => guest.call_on_role_change(store, &event).await?,
                }
            }
        };
        Ok(match result {
            Ok(()) => Outcome::Ok,
            Err(error) => Outcome::Plugin(convert::plugin_error(error)),
        })
    }

    fn kept(&self) -> Option<Instance> {
        self.lock().take()
    }

    fn keep(&self, instance: Option<Instance>) {
        *self.lock() = instance;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instance>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
