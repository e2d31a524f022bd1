//! `/metrics`: what is gathered for Prometheus.

use super::{Api, facts};
use crate::run::{Status, clock, wall};
use std::time::Duration;
use tanist_engine::{Lease, Moment, Postgres, Role, ServerRole};
use tanist_guard::page::FenceState;
use tanist_patroni::rest::{Facts, Metrics, OwnMetrics, PluginMetrics, SlotMetrics, Standing};

/// The page.
pub(super) fn body(api: &Api) -> String {
    let now = clock::now();
    let facts = facts::gather(api);
    let status = api.status.get();
    let seen = status.as_ref().map(|status| &status.seen);
    let known = api.tools.postgres.facts();
    let micros = |micros: i64| u64::try_from(micros).ok().map(Duration::from_micros);
    let (mut location, mut timeline, mut server_version) = (None, None, None);
    if let Some(Postgres::Running(running)) = seen.map(|seen| &seen.postgres) {
        server_version = Some(running.version);
        match &running.role {
            ServerRole::Primary { position, .. } => {
                (location, timeline) = (Some(position.lsn), Some(position.timeline.0));
            }
            ServerRole::Standby { position, .. } => timeline = position.map(|position| position.timeline.0),
        }
    }
    let standby = facts.role == Role::Replica;
    Metrics {
        scope: api.tools.settings.cluster.scope.clone(),
        name: api.tools.settings.name.to_string(),
        state: facts.state,
        role: facts.role,
        postmaster_start_time: known.as_ref().and_then(|known| micros(known.postmaster_started)),
        location,
        received: facts.received.filter(|_| standby),
        replayed: facts.replayed.filter(|_| standby),
        replayed_timestamp: known.as_ref().and_then(|known| known.replayed_commit).and_then(micros),
        replay_paused: known.as_ref().is_some_and(|known| known.replay_paused),
        streaming: facts.streaming,
        in_archive_recovery: known.as_ref().is_some_and(|known| known.in_archive_recovery),
        sync_standby: facts.sync_standby,
        quorum_standby: facts.quorum_standby,
        server_version,
        cluster_unlocked: seen.is_some_and(|seen| matches!(seen.lease, Lease::Vacant { .. })),
        failsafe: facts.failsafe,
        timeline,
        dcs_last_seen: seen.and_then(|seen| seen.store.as_of).map_or(0, |as_of| wall::unix_of(as_of, now)),
        pending_restart: known.as_ref().is_some_and(|known| !known.pending_restart.is_empty()),
        paused: facts.paused,
        own: own(api, status.as_deref(), &facts, now),
    }
    .encode()
}

fn own(api: &Api, status: Option<&Status>, facts: &Facts, now: Moment) -> OwnMetrics {
    let lease = status.map(|status| &status.seen.lease);
    let (epoch, lease_left) = match lease {
        Some(Lease::Mine(held)) => (held.epoch.0, held.until.since(now)),
        Some(Lease::Theirs(theirs)) => (theirs.epoch.0, Duration::ZERO),
        Some(Lease::Vacant { last_epoch, .. }) => (last_epoch.0, Duration::ZERO),
        Some(Lease::Unknown) | None => (0, Duration::ZERO),
    };
    let plugins = api.tools.plugins.status().map(|status| status.plugins.clone()).unwrap_or_default();
    OwnMetrics {
        writable: facts.standing == Standing::Firm && facts.proved,
        epoch,
        lease_left,
        fence_budget: Duration::from_nanos(api.tools.guard.page().budget_ns()),
        fenced: api.tools.guard.fence_state() != FenceState::Open,
        since_decision: if facts.since_decision == Duration::MAX { Duration::ZERO } else { facts.since_decision },
        storage: status.map(|status| status.seen.storage.state).unwrap_or_default(),
        storage_free: api.tools.storage.free(),
        store_answers: status.is_some() && api.tools.mirror.snapshot().trouble.is_none(),
        slots: api
            .tools
            .slots
            .found()
            .into_iter()
            .map(|slot| SlotMetrics { name: slot.name, active: slot.active, retained: slot.retained })
            .collect(),
        plugins: plugins
            .into_iter()
            .map(|plugin| PluginMetrics {
                name: plugin.plugin.0,
                delivered: plugin.delivered,
                failed: plugin.failed,
                pending: u64::try_from(plugin.pending.len()).unwrap_or(u64::MAX),
            })
            .collect(),
    }
}
