//! What a failure inside the sandbox means.

use crate::{budget::Breach, guest::Guest, text::clip};
use tanist_broker::protocol::{LoadFailure, Outcome, TrapKind};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

/// Longest message that is passed on.
const MAX_MESSAGE: usize = 1 << 10;
/// Longest error of the sandbox; type errors quote names, and names can be long.
const MAX_CHAIN: usize = 4 << 10;
/// wasmtime's words when more bytes cross the border in one host call than `host_call_bytes`; the type behind them is private.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// The outcome of a call that ended with `error`.
pub(crate) fn outcome(error: &wasmtime::Error, guest: &Guest) -> Outcome {
    if let Some(breach) = error.downcast_ref::<Breach>() {
        return Outcome::BudgetExceeded(breach.to_string());
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Outcome::Exited { code: *code };
    }
    let message = chain(error);
    if message.contains(FUEL_EXHAUSTED) {
        let limit = guest.kind.limits.host_call_bytes;
        return Outcome::BudgetExceeded(format!("more than {limit} bytes handed to the host at once"));
    }
    let trap = error.downcast_ref::<Trap>().copied();
    if trap == Some(Trap::Interrupt) {
        return Outcome::CpuExceeded;
    }
    if guest.limiter.refused() {
        return Outcome::MemoryExceeded;
    }
    Outcome::Trap { kind: trap.map_or(TrapKind::Other, kind), message: clip(&message, MAX_MESSAGE) }
}

/// Why a component that failed with `outcome` while it was instantiated cannot be used.
pub(crate) fn load_failure(outcome: Outcome, stderr: &str) -> LoadFailure {
    match outcome {
        Outcome::CpuExceeded => LoadFailure::Limits("computing time to instantiate it".to_owned()),
        Outcome::WallExceeded => LoadFailure::Limits("time to instantiate it".to_owned()),
        Outcome::MemoryExceeded => LoadFailure::Limits("memory".to_owned()),
        Outcome::BudgetExceeded(text) => LoadFailure::Limits(text),
        Outcome::Trap { kind: _, message } => {
            let stderr = clip(stderr, MAX_MESSAGE);
            LoadFailure::Incompatible(format!("it cannot be instantiated: {message} {stderr}").trim_end().to_owned())
        }
        Outcome::Exited { code } => LoadFailure::Incompatible(format!("it exits with {code} when it is instantiated")),
        other @ (Outcome::Ok
        | Outcome::Plugin(_)
        | Outcome::NotExported
        | Outcome::NotLoaded
        | Outcome::Cancelled
        | Outcome::Host(_)) => LoadFailure::Host(format!("unexpected end of an instantiation: {other:?}")),
    }
}

/// An error with its causes, on one line of bounded length.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string().replace('\n', " "));
    }
    clip(&text, MAX_CHAIN)
}

fn kind(trap: Trap) -> TrapKind {
    match trap {
        Trap::UnreachableCodeReached => TrapKind::Unreachable,
        Trap::MemoryOutOfBounds => TrapKind::MemoryOutOfBounds,
        Trap::StackOverflow => TrapKind::StackOverflow,
        Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature => TrapKind::TableOutOfBounds,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => TrapKind::Arithmetic,
        _ => TrapKind::Other,
    }
}
