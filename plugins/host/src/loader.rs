//! From a file (or a builtin) to a plugin that can be called: read, check the digest, compile or find compiled, inspect, link,
//! instantiate.

use crate::{
    Agent, Compiler, Plugin, Sandbox, builtin,
    cache::{self, Cache},
    compile::MAX_COMPONENT,
    fault::chain,
    guest::{Guest, Kind},
    imports,
    inspect::Shape,
};
use rustix::fs::{Mode, OFlags};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use tanist_broker::protocol::{Digest, Load, LoadFailure, Loaded, Source};
use wasmtime::component::{Component, Linker};

/// Longest configuration of one plugin, names and values together.
const MAX_CONFIG: usize = 256 << 10;

/// Loads components.
#[derive(Clone, Debug)]
pub struct Loader {
    sandbox: Sandbox,
    cache: Cache,
    compiler: Compiler,
}

/// A component that was read, compiled and inspected, and of which nothing has run yet.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) component: Component,
    pub(crate) digest: Digest,
    pub(crate) shape: Shape,
}

impl Loader {
    /// Compiles with `compiler` and keeps what it compiled in `cache`, if there is one.
    pub fn new(sandbox: Sandbox, cache: Option<PathBuf>, compiler: Compiler) -> io::Result<Self> {
        Ok(Self { sandbox, cache: Cache::open(cache)?, compiler })
    }

    /// Makes a plugin of what the agent asks for. Nothing of it has been called yet, but it was instantiated once, because some
    /// mismatches of types show only then.
    pub async fn load(&self, load: Load, agent: Arc<Agent>) -> Result<(Plugin, Loaded), LoadFailure> {
        let Load { plugin, source, sha256, mut config, limits, imports: granted } = load;
        let granted: BTreeSet<_> = granted.into_iter().collect();
        if config.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_CONFIG {
            return Err(LoadFailure::Limits(format!("a configuration of more than {MAX_CONFIG} bytes")));
        }
        let stack = u32::try_from(crate::engine::STACK).unwrap_or(u32::MAX);
        if limits.stack_bytes > stack {
            return Err(LoadFailure::Limits(format!("a stack of {} bytes; at most {stack} are possible", limits.stack_bytes)));
        }
        let Prepared { component, digest, shape } = self.prepare(source, sha256).await?;
        if let Some((_, import)) = shape.missing(&granted).first() {
            return Err(LoadFailure::NotGranted { import: (*import).to_owned() });
        }
        let mut linker = Linker::<Guest>::new(self.sandbox.engine());
        imports::link(&mut linker, &granted).map_err(|error| LoadFailure::Host(chain(&error)))?;
        let linked = linker.instantiate_pre(&component).map_err(|error| LoadFailure::Incompatible(chain(&error)))?;
        config.sort_unstable();
        let kind = Kind { plugin: plugin.clone(), limits, config: config.into(), agent };
        let loaded = Plugin::new(self.sandbox.clone(), kind, linked, &shape.exports).await?;
        Ok((loaded, Loaded { plugin, exports: shape.exports, imports: shape.imports, digest }))
    }

    /// Reads, compiles and inspects. Whatever takes long runs on another thread or in another process, so that the agent's pings
    /// are answered meanwhile.
    pub(crate) async fn prepare(&self, source: Source, pinned: Option<Digest>) -> Result<Prepared, LoadFailure> {
        let this = self.clone();
        let (bytes, digest, found) = aside(move || {
            let bytes = read(&source)?;
            let digest = cache::digest(&bytes);
            if pinned.is_some_and(|pinned| pinned != digest) {
                return Err(LoadFailure::WrongDigest { found: digest });
            }
            let found = this.cache.find(digest, &this.sandbox);
            Ok((bytes, digest, found))
        })
        .await?;
        let component = match found {
            Some(component) => component,
            None => {
                let compiled = self.compiler.compile(&bytes).await?;
                let this = self.clone();
                aside(move || {
                    if let Err(error) = this.cache.keep(digest, &this.sandbox, &compiled) {
                        // Costs time at the next start, nothing else.
                        eprintln!("compiled plugin not kept: {error}");
                    }
                    cache::load(&this.sandbox, &compiled).map_err(|error| LoadFailure::Host(chain(&error)))
                })
                .await?
            }
        };
        let shape = Shape::of(&component, self.sandbox.engine())?;
        Ok(Prepared { component, digest, shape })
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, LoadFailure> + Send + 'static) -> Result<T, LoadFailure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(LoadFailure::Host(error.to_string())))
}

fn read(source: &Source) -> Result<Vec<u8>, LoadFailure> {
    match source {
        Source::Builtin(name) => builtin::find(name)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| LoadFailure::Unreadable(format!("there is no builtin of the name {name}"))),
        Source::Path(path) => read_file(path).map_err(|error| LoadFailure::Unreadable(error.to_string())),
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Non-blocking, so that a pipe in the place of the component is refused and not waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if found.len() > MAX_COMPONENT {
        return Err(io::Error::other(format!("{} bytes; at most {MAX_COMPONENT} are read", found.len())));
    }
    let mut bytes = Vec::new();
    file.take(MAX_COMPONENT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
