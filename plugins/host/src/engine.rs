//! The wasmtime engine: which WebAssembly is accepted, how it is compiled, and the clock that interrupts it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};
use wasmtime::{Config, Engine, Strategy};

/// How often a running guest is interrupted to look at its budget and to let others run.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Stack of a guest.
pub(crate) const STACK: usize = 512 << 10;

/// Stack of a guest and of the host functions it calls.
const FIBER_STACK: usize = STACK + (512 << 10);

/// A sleeping clock looks this often whether the engine is still there; a bound for guests even if nobody had woken it.
const DOZE: Duration = Duration::from_secs(1);

/// The engine, with its clock.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    clock: Arc<Clock>,
    fingerprint: String,
}

/// The thread that ticks. It sleeps while no guest runs, because an idle host shall cost nothing.
struct Clock {
    running: AtomicUsize,
    thread: OnceLock<Thread>,
}

/// A guest is running while this lives.
pub(crate) struct Running<'a>(&'a Clock);

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine and the thread that ticks for it. The thread ends with the last clone of the engine.
    pub fn start() -> io::Result<Self> {
        let engine = engine().map_err(io::Error::other)?;
        let clock = Arc::new(Clock { running: AtomicUsize::new(0), thread: OnceLock::new() });
        let (ticking, own) = (engine.weak(), Arc::clone(&clock));
        let handle = thread::Builder::new().name("ticker".to_owned()).spawn(move || {
            while let Some(engine) = ticking.upgrade() {
                engine.increment_epoch();
                drop(engine);
                if own.running.load(Ordering::SeqCst) == 0 {
                    thread::park_timeout(DOZE);
                } else {
                    thread::sleep(TICK);
                }
            }
        })?;
        clock.thread.get_or_init(|| handle.thread().clone());
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { engine, clock, fingerprint: format!("{:016x}", hasher.finish()) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Differs when code compiled by one engine does not run in the other.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// To be held around everything that may run code of a guest.
    pub(crate) fn running(&self) -> Running<'_> {
        if self.clock.running.fetch_add(1, Ordering::SeqCst) == 0 {
            // Set before `start` returned.
            if let Some(thread) = self.clock.thread.get() {
                thread.unpark();
            }
        }
        Running(&self.clock)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The engine alone; the compiler needs no clock.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .async_stack_size(FIBER_STACK)
        // Only calls that block the guest; without the machinery for concurrent tasks inside one instance.
        .concurrency_support(false);
    // Proposals that no supported toolchain needs; each one left out is code that cannot be attacked.
    config
        .wasm_tail_call(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_stack_switching(false);
    Engine::new(&config)
}
