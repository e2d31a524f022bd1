//! The wasmtime engine: which WebAssembly is accepted, how it is compiled, and the clock that interrupts it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io, thread,
    time::Duration,
};
use wasmtime::{Config, Engine, Strategy};

/// How often a running guest is interrupted to look at its budget and to let others run.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Stack of a guest.
pub(crate) const STACK: usize = 512 << 10;

/// Stack of a guest and of the host functions it calls.
const FIBER_STACK: usize = STACK + (512 << 10);

/// The engine, with its clock running.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    fingerprint: String,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine and the thread that ticks for it. The thread ends with the last clone of the engine.
    pub fn start() -> io::Result<Self> {
        let engine = engine().map_err(io::Error::other)?;
        let ticking = engine.weak();
        thread::Builder::new().name("ticker".to_owned()).spawn(move || {
            while let Some(engine) = ticking.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { engine, fingerprint: format!("{:016x}", hasher.finish()) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Differs when code compiled by one engine does not run in the other.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
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
