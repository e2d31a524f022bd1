//! Compiling, in a child process of its own with limits of its own.
//!
//! The compiler is the largest piece of code that reads a stranger's bytes. It runs where it can hurt nobody: component in on
//! standard input, machine code out on standard output, an address space and a processor time of its own.

use crate::{engine::engine, fault::chain, text::clip};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tanist_broker::protocol::LoadFailure;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

/// Address space of the compiler.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Its processor time: Python needs up to 20 s.
const CPU_SECONDS: u64 = 120;
/// The wall clock, for a machine with other work.
const PATIENCE: Duration = Duration::from_secs(180);
/// Largest component.
pub(crate) const MAX_COMPONENT: u64 = 128 << 20;
/// Largest machine code.
const MAX_COMPILED: u64 = 512 << 20;
/// Longest complaint of the compiler that is passed on.
const MAX_COMPLAINT: u64 = 1 << 10;

/// How to start the compiler.
#[derive(Clone, Debug)]
pub struct Compiler {
    program: PathBuf,
}

impl Compiler {
    /// This very program, even if its file was replaced meanwhile.
    pub fn this_program() -> Self {
        Self { program: PathBuf::from("/proc/self/exe") }
    }

    /// A `tanist-plugin-host` elsewhere.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Machine code of a component. The child dies with the future.
    pub(crate) async fn compile(&self, component: &[u8]) -> Result<Vec<u8>, LoadFailure> {
        tokio::time::timeout(PATIENCE, self.run(component))
            .await
            .unwrap_or_else(|_| Err(LoadFailure::Limits(format!("not compiled within {PATIENCE:?}"))))
    }

    async fn run(&self, component: &[u8]) -> Result<Vec<u8>, LoadFailure> {
        let host = |error: io::Error| LoadFailure::Host(format!("the compiler cannot be run: {error}"));
        let mut child = Command::new(&self.program)
            .arg("compile")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(host)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(LoadFailure::Host("the compiler has no pipes".to_owned()));
        };
        let feed = async move {
            // A compiler that dies before it has read everything says why on its standard error.
            let _ = stdin.write_all(component).await;
        };
        let (mut compiled, mut complaint) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (stdout.take(MAX_COMPILED), stderr.take(MAX_COMPLAINT));
        let ((), code, text) = tokio::join!(feed, stdout.read_to_end(&mut compiled), stderr.read_to_end(&mut complaint));
        code.and(text).map_err(host)?;
        let status = child.wait().await.map_err(host)?;
        if status.success() {
            return Ok(compiled);
        }
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        Err(match status.code() {
            Some(_) => LoadFailure::Invalid(complaint),
            None => LoadFailure::Limits(format!("the compiler died ({status}) {complaint}")),
        })
    }
}

/// The child's side: a component on standard input, its machine code on standard output. The error is one line.
pub fn compile_stdin() -> Result<(), String> {
    limit(Resource::As, ADDRESS_SPACE)?;
    limit(Resource::Cpu, CPU_SECONDS)?;
    let mut component = Vec::new();
    io::stdin().lock().take(MAX_COMPONENT).read_to_end(&mut component).map_err(|error| error.to_string())?;
    let compiled = engine().and_then(|engine| engine.precompile_component(&component));
    let compiled = compiled.map_err(|error| clip(&chain(&error), 1 << 10))?;
    io::stdout().lock().write_all(&compiled).map_err(|error| error.to_string())
}

fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let rlimit = Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(resource, rlimit).map_err(|error| format!("the compiler cannot limit itself: {error}"))
}
