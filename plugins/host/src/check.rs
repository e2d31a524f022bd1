//! `check`: would this component run here, with these grants?

use crate::{Agent, Loader, fault::load_failure};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Instant};
use tanist_broker::{
    Grants,
    protocol::{Call, CallId, Digest, Export, Import, Limits, Load, LoadFailure, Outcome, PluginId, Source, Work},
};
use tokio::{net::UnixStream, sync::oneshot};

/// What was found.
#[derive(Debug)]
pub struct Report {
    plugin: PluginId,
    source: Source,
    digest: Digest,
    exports: Vec<Export>,
    asked: BTreeSet<Import>,
    granted: BTreeSet<Import>,
}

/// Why a component would not run here, whatever is granted.
#[derive(Debug, thiserror::Error)]
#[error("{source_name} {failure}")]
pub struct CheckError {
    source_name: Source,
    failure: LoadFailure,
}

impl Report {
    /// Nothing is missing.
    pub fn complete(&self) -> bool {
        self.asked.is_subset(&self.granted)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |imports: &mut dyn Iterator<Item = &Import>| {
            let names: Vec<_> = imports.map(|import| import.name()).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let exports: Vec<_> = self.exports.iter().map(|export| export.name()).collect();
        writeln!(f, "component  {}", self.source)?;
        writeln!(f, "sha256     {}", self.digest)?;
        writeln!(f, "exports    {}", exports.join(", "))?;
        writeln!(f, "asked      {}", names(&mut self.asked.iter()))?;
        writeln!(f, "granted    {}", names(&mut self.granted.iter()))?;
        write!(f, "missing    {}", names(&mut self.asked.difference(&self.granted)))?;
        if !self.complete() {
            write!(f, "\nadd to the configuration:")?;
        }
        self.asked.difference(&self.granted).try_for_each(|import| write!(f, "\n  {}", Grants::remedy(&self.plugin, *import)))
    }
}

/// Loads a component with everything it asks for (so that only its own faults show), instantiates it, and compares what it asks
/// for with what is granted. None of its functions is called.
pub async fn check(loader: &Loader, plugin: PluginId, source: Source, granted: BTreeSet<Import>) -> Result<Report, CheckError> {
    let failed = |failure| CheckError { source_name: source.clone(), failure };
    let prepared = loader.prepare(source.clone(), None).await.map_err(failed)?;
    let load = Load {
        plugin: plugin.clone(),
        source: source.clone(),
        sha256: Some(prepared.digest),
        config: Vec::new(),
        limits: Limits::default(),
        imports: prepared.shape.asked.iter().copied().collect(),
    };
    // Nobody is at the other end; nothing that is asked there is answered.
    let (ours, _theirs) = UnixStream::pair().map_err(|error| failed(LoadFailure::Host(error.to_string())))?;
    let (loaded, _) = loader.load(load, Arc::new(Agent::new(ours.into_split().1))).await.map_err(failed)?;
    let (_cancel, cancelled) = oneshot::channel();
    let call = Call { call: CallId(1), plugin: plugin.clone(), work: Work::Smoke, wall_ms: 5_000, cpu_ms: 5_000 };
    let (done, _remains) = loaded.call(call, Instant::now(), cancelled).await;
    if done.outcome != Outcome::Ok {
        return Err(failed(load_failure(done.outcome, &done.stderr)));
    }
    let shape = prepared.shape;
    Ok(Report { plugin, source, digest: prepared.digest, exports: shape.exports, asked: shape.asked, granted })
}
