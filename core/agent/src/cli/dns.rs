//! `tanist dns`: a connection point without a database beside it, composed of a store's mirror and the DNS server.

use super::{Failure, run::environment};
use crate::{
    cluster::{self, ViewReader},
    config::load_cluster,
    links::NamesLink,
    run::clock,
};
use std::{path::Path, sync::Arc};
use tanist_dcs::{Clock, Keys, Mirror, lease::Keeper};
use tanist_engine::{MemberName, Moment};
use tanist_patroni::dynamic::DynamicConfig;
use tokio::signal::unix::{SignalKind, signal};

/// Serves until it is asked to stop.
pub fn run(config: &Path) -> Result<(), Failure> {
    let loaded = load_cluster(config, &environment()).map_err(Failure::unusable)?;
    for note in &loaded.notes {
        eprintln!("tanist: {}: {note}", note.severity);
    }
    let settings = loaded.settings;
    if settings.dns.is_none() {
        return Err(Failure::config(format!("{}: dns: the section is missing; it names zone and addresses", config.display())));
    }
    let _log = super::log::start(settings.log).map_err(Failure::failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(Failure::failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
        // Observes the lease and never takes part: no member has this name, for it contains a character none may have.
        let me = MemberName("dns/".into());
        let names = NamesLink::start(&settings, &me, Arc::new(clock::now)).map_err(Failure::environment)?;
        let store = cluster::open(&settings.store).map_err(Failure::config)?;
        let keys = Keys::new(&settings.namespace, &settings.scope);
        // The record itself says its ttl; this one counts until the first is read.
        let ttl = DynamicConfig::default().timing.ttl;
        let keeper = Keeper::new(store.clone(), keys.clone(), me.clone(), 0, ttl, Clock::system());
        let mirror = Mirror::spawn(store, keys.prefix().to_owned(), Clock::system(), ttl / 5);
        let mut snapshots = mirror.subscribe();
        let mut reader = ViewReader::new(keys);
        let mut timer = clock::Timer::new().map_err(Failure::failed)?;
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            keeper.observe(&snapshot, clock::reading());
            if keeper.wants_confirmation(clock::reading())
                && let Err(error) = keeper.confirm_vacant().await
            {
                tracing::warn!(%error, "the lease record could not be read again");
            }
            names.show(&me, &keeper.lease(clock::reading()), &reader.read(&snapshot), snapshot.revision);
            timer.set(keeper.next_change(clock::reading()).unwrap_or(Moment::MAX)).map_err(Failure::failed)?;
            tokio::select! {
                changed = snapshots.changed() => changed.map_err(Failure::failed)?,
                expired = timer.wait() => expired.map_err(Failure::failed)?,
                _ = term.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    })
}
