//! What one instance of a guest has: its limits, its empty WASI, its way to the agent.

use crate::{
    Agent,
    budget::{Breach, Output},
    engine::Sandbox,
    limiter::Limiter,
    meter::Meter,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tanist_broker::protocol::{CallId, Denial, Limits, Op, PluginId, Reply};
use wasmtime::{Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Handles (of resources) a guest may hold at once.
const HANDLES: usize = 1_000;
/// Random bytes in one host call.
const RANDOM_BYTES: u64 = 64 << 10;
/// A request to the agent ends this long before its call, so that the guest can still say what went wrong.
const MARGIN: Duration = Duration::from_millis(10);

/// What all instances of one plugin share.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) plugin: PluginId,
    pub(crate) limits: Limits,
    /// Sorted by key.
    pub(crate) config: Arc<[(String, String)]>,
    pub(crate) agent: Arc<Agent>,
}

/// The data of a store.
pub(crate) struct Guest {
    pub(crate) kind: Kind,
    pub(crate) output: Output,
    pub(crate) limiter: Limiter,
    pub(crate) meter: Arc<Meter>,
    /// The call under way; none while the guest is being instantiated.
    pub(crate) call: Option<CallId>,
    deadline: Instant,
    requests_left: u32,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    /// A store for a fresh instance.
    pub(crate) fn store(sandbox: &Sandbox, kind: &Kind) -> Store<Self> {
        let output = Output::new(kind.limits.log_bytes);
        let wasi = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.clone())
            .max_random_size(RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        let guest = Self {
            kind: kind.clone(),
            output,
            limiter: Limiter::new(&kind.limits),
            meter: Arc::new(Meter::new()),
            call: None,
            deadline: Instant::now(),
            requests_left: 0,
            wasi,
            table: ResourceTable::new(),
        };
        let mut store = Store::new(sandbox.engine(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(usize::try_from(kind.limits.host_call_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(1);
        // At every tick: enough computed? Otherwise let the socket and the other guests have their turn. (A plain `Yield` would
        // only queue the guest again, in front of the socket.)
        store.epoch_deadline_callback(|store| {
            Ok(if store.data().meter.exhausted() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
            })
        });
        store
    }

    /// Begins a call (or the instantiation): all budgets are full again.
    pub(crate) fn begin(&mut self, call: Option<CallId>, cpu: Duration, deadline: Instant) {
        self.call = call;
        self.deadline = deadline;
        self.requests_left = self.kind.limits.requests;
        self.output.begin();
        self.limiter.begin();
        self.meter.begin(cpu);
    }

    /// Asks the agent. The outer error ends the call.
    pub(crate) async fn ask(&mut self, op: Op) -> Result<Result<Reply, Denial>, Breach> {
        let Some(call) = self.call else { return Ok(Err(Denial::Expired)) };
        self.requests_left = self.requests_left.checked_sub(1).ok_or(Breach::Requests(self.kind.limits.requests))?;
        let patience = self.deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
        Ok(self.kind.agent.ask(call, op, patience).await)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
