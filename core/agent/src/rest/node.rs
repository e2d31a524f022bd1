//! The body of `/patroni` and of the health checks: this node in detail.

use super::{Api, facts};
use crate::run::{clock, wall};
use serde_json::{Map, Value};
use tanist_engine::{Lease, Postgres, ServerRole, SyncMode};
use tanist_patroni::{
    dcs::IN_ARCHIVE_RECOVERY,
    rest::{NodeBody, RefusedSwitchover, ReplicationRow, Standing, Xlog},
    rest_text,
};
use tanist_postgres::Walsender;

/// The body as JSON text.
pub(super) fn body(api: &Api) -> String {
    let settings = &api.tools.settings;
    let (scope, name) = (&settings.cluster.scope, &settings.name.0);
    let Some(status) = api.status.get() else {
        return NodeBody::new(scope, name, "unknown", "uninitialized").with_tags(&api.tools.tags()).encode();
    };
    let seen = &status.seen;
    let (state, role) = facts::state_and_role(&seen.postgres);
    let now = clock::now();
    let mut body = NodeBody::new(scope, name, tanist_patroni::state_word(state), &role.to_string()).with_tags(&api.tools.tags());
    let named = seen.store.sync.as_ref().is_some_and(|sync| sync.standbys.contains(&seen.me));
    let quorum = matches!(status.policy.synchronous, SyncMode::Quorum { .. });
    (body.sync_standby, body.quorum_standby) = (named && !quorum, named && quorum);
    body.cluster_unlocked = matches!(seen.lease, Lease::Vacant { .. });
    body.failsafe_mode_is_active = facts::failsafe_is_active(seen, now);
    body.dcs_last_seen = seen.store.as_of.map_or(0, |as_of| wall::unix_of(as_of, now));
    add_postgres(&mut body, &seen.postgres);
    if let Some(known) = api.tools.postgres.facts() {
        body.pending_restart_reason = api.tools.postgres.pending_restart();
        body.pending_restart = !body.pending_restart_reason.is_empty();
        if let Some(Xlog::Standby { replayed_timestamp, paused, .. }) = &mut body.xlog {
            let commit = known.replayed_commit.and_then(|micros| u64::try_from(micros / 1_000).ok());
            (*replayed_timestamp, *paused) = (commit.map(wall::iso_blank), known.replay_paused);
        }
        if known.in_archive_recovery && body.replication_state.is_none() {
            body.replication_state = Some(IN_ARCHIVE_RECOVERY.to_owned());
        }
        body.replication = known.replication.into_iter().map(replication_row).collect();
        body.postmaster_start_time = u64::try_from(known.postmaster_started / 1_000).ok().map(wall::iso_blank);
    }
    body.tanist = own(api, &status, now);
    rest_text(&body)
}

fn replication_row(sender: Walsender) -> ReplicationRow {
    let Walsender { usename, application_name, client_addr, state, sync_state, sync_priority } = sender;
    ReplicationRow { usename, application_name, client_addr, state, sync_state, sync_priority }
}

fn add_postgres(body: &mut NodeBody, postgres: &Postgres) {
    let Postgres::Running(running) = postgres else { return };
    body.server_version = Some(running.version);
    body.database_system_identifier = Some(running.system_id.clone());
    match &running.role {
        ServerRole::Primary { position, .. } => {
            body.xlog = Some(Xlog::Primary { location: position.lsn.0 });
            body.timeline = Some(position.timeline.0);
        }
        ServerRole::Standby { position, replayed, streaming, .. } => {
            let received = position.map_or(replayed.0, |position| position.lsn.0);
            body.xlog = Some(Xlog::Standby {
                received_location: received,
                replayed_location: replayed.0,
                replayed_timestamp: None,
                paused: false,
            });
            body.timeline = position.map(|position| position.timeline.0);
            body.replication_state = streaming.then(|| "streaming".to_owned());
        }
    }
}

/// What only tanist says.
fn own(api: &Api, status: &crate::run::Status, now: tanist_engine::Moment) -> Map<String, Value> {
    let seen = &status.seen;
    let mut own = Map::new();
    let (lease, epoch) = match &seen.lease {
        Lease::Unknown => ("unknown", None),
        Lease::Vacant { last_epoch, .. } => ("vacant", Some(last_epoch.0)),
        Lease::Mine(held) => ("mine", Some(held.epoch.0)),
        Lease::Theirs(theirs) => ("theirs", Some(theirs.epoch.0)),
    };
    own.insert("lease".into(), lease.into());
    if let Some(epoch) = epoch {
        own.insert("epoch".into(), epoch.into());
    }
    let shown = seen.store.primary.as_ref().map_or(0, |face| face.epoch.0);
    let promised = seen.promised.as_ref().map_or(0, |promised| promised.epoch.0);
    own.insert("known_epoch".into(), epoch.unwrap_or(0).max(shown).max(promised).max(api.tools.highest_epoch()).into());
    if let Lease::Mine(held) = &seen.lease {
        let left = u64::try_from(held.until.since(now).as_millis()).unwrap_or(u64::MAX);
        own.insert("lease_left_ms".into(), left.into());
        let firm = facts::standing(api, seen, now) == Standing::Firm;
        let proved = facts::proved_epoch(&seen.postgres) == Some(held.epoch);
        own.insert("writable".into(), (firm && proved).into());
    }
    own.insert("fence".into(), format!("{:?}", seen.guard.fence).to_lowercase().into());
    own.insert("reason".into(), status.reason.to_string().into());
    own.insert("reason_kind".into(), status.reason.kind().into());
    if let Some((at, why)) = &status.refused {
        RefusedSwitchover { why: why.to_string(), age: now.since(*at) }.tell(&mut own);
    }
    if seen.failsafe.barred {
        own.insert("barred".into(), true.into());
    }
    if let Some(job) = &seen.job {
        own.insert("job".into(), job.job.name().into());
    }
    if let Some(trouble) = api.tools.store_trouble() {
        let span = u64::try_from(now.since(trouble.since.boot).as_millis()).unwrap_or(u64::MAX);
        own.insert("store_error".into(), trouble.to_string().into());
        own.insert("store_error_since".into(), wall::iso(wall::millis().saturating_sub(span)).into());
    }
    own.insert("storage".into(), seen.storage.state.to_string().into());
    if !seen.storage.why.is_empty() {
        own.insert("storage_error".into(), seen.storage.why.clone().into());
    }
    if let Some(free) = api.tools.storage.free() {
        own.insert("storage_free".into(), free.into());
    }
    let complaints = api.tools.live.complaints();
    if !complaints.is_empty() {
        own.insert("complaints".into(), complaints.into());
    }
    if let Some(error) = api.tools.postgres.error() {
        own.insert("postgresql_error".into(), error.into());
    }
    own
}
