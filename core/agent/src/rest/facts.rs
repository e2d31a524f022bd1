//! What a health check is answered from, taken when the request arrives: the guard's page and the clock are read now.

use super::Api;
use crate::run::clock;
use std::time::Duration;
use tanist_engine::{Epoch, Lease, MemberState, Moment, Observation, Postgres, Role, ServerRole, SyncMode};
use tanist_guard::page::FenceState;
use tanist_patroni::rest::{Facts, Standing};

/// Gathers them.
pub(super) fn gather(api: &Api) -> Facts {
    let now = clock::now();
    let mut facts = Facts {
        standing: Standing::None,
        proved: false,
        state: MemberState::Unknown,
        role: Role::Uninitialized,
        streaming: false,
        received: None,
        replayed: None,
        leader_lsn: None,
        sync_standby: false,
        quorum_standby: false,
        cluster_known: false,
        paused: false,
        failsafe: false,
        tags: (*api.tools.tags()).clone(),
        maximum_lag: 0,
        since_decision: Duration::MAX,
        loop_wait: Duration::ZERO,
        ttl: Duration::ZERO,
    };
    let Some(status) = api.status.get() else { return facts };
    let seen = &status.seen;
    facts.standing = standing(api, seen, now);
    facts.proved = proved_epoch(&seen.postgres).is_some_and(|epoch| armed_epoch(api) == Some(epoch));
    (facts.state, facts.role) = state_and_role(&seen.postgres);
    if let Postgres::Running(running) = &seen.postgres
        && let ServerRole::Standby { position, replayed, streaming, .. } = &running.role
    {
        facts.streaming = *streaming;
        facts.received = position.map(|position| position.lsn);
        facts.replayed = Some(*replayed);
    }
    // The later of what the leader has published and what the upstream has said since.
    let said = api.tools.postgres.facts().and_then(|known| known.upstream_end);
    facts.leader_lsn = seen.store.optime.max(said);
    let named = seen.store.sync.as_ref().is_some_and(|sync| sync.standbys.contains(&seen.me));
    let quorum = matches!(status.policy.synchronous, SyncMode::Quorum { .. });
    (facts.sync_standby, facts.quorum_standby) = (named && !quorum, named && quorum);
    facts.failsafe = failsafe_is_active(seen, now);
    facts.cluster_known = seen.store.as_of.is_some_and(|as_of| now.since(as_of) <= status.policy.ttl);
    facts.maximum_lag = status.policy.maximum_lag_on_failover;
    facts.since_decision = now.since(status.decided);
    (facts.loop_wait, facts.ttl) = (status.policy.loop_wait, status.policy.ttl);
    facts
}

/// The lease by the clock of now, and by the page: what the guard would not allow any more is not shown.
pub(super) fn standing(api: &Api, seen: &Observation, now: Moment) -> Standing {
    let page = api.tools.guard.page();
    let epoch = match &seen.lease {
        Lease::Mine(held) if held.until > now => held.epoch,
        // An agent that was restarted without the store: the page is extended by all who may take over.
        Lease::Unknown if seen.failsafe.agreed.is_some() => match page.arm_view() {
            Some(armed) => Epoch(armed.epoch),
            None => return Standing::None,
        },
        _ => return Standing::None,
    };
    let budget = Duration::from_nanos(page.budget_ns());
    let firm = page.arm_view().is_some_and(|armed| {
        armed.epoch == epoch.0
            && api.tools.guard.fence_state() == FenceState::Open
            && now + budget < Moment::from_nanos(armed.boot)
    });
    if firm { Standing::Firm } else { Standing::Late }
}

/// The primary stays without the store because everybody has agreed to wait, or this node has.
pub(super) fn failsafe_is_active(seen: &Observation, now: Moment) -> bool {
    let holds = match &seen.lease {
        Lease::Mine(held) => held.until > now && seen.failsafe.agreed.is_some_and(|agreed| agreed > held.renewed),
        Lease::Unknown => seen.failsafe.agreed.is_some() && seen.guard.armed.is_some_and(|armed| armed.until > now),
        Lease::Vacant { .. } | Lease::Theirs(_) => false,
    };
    holds || seen.failsafe.waits.as_ref().is_some_and(|(_, _, until)| *until > now)
}

/// The epoch the guard is armed for.
fn armed_epoch(api: &Api) -> Option<Epoch> {
    api.tools.guard.page().arm_view().map(|armed| Epoch(armed.epoch))
}

/// The epoch at which the running primary was last proved writable.
pub(super) fn proved_epoch(postgres: &Postgres) -> Option<Epoch> {
    let Postgres::Running(running) = postgres else { return None };
    match &running.role {
        ServerRole::Primary { position, proof, .. } => {
            proof.filter(|proof| proof.timeline == position.timeline).map(|proof| proof.epoch)
        }
        ServerRole::Standby { .. } => None,
    }
}

/// PostgreSQL's state and role in the words of a member key.
pub(super) fn state_and_role(postgres: &Postgres) -> (MemberState, Role) {
    match postgres {
        Postgres::Unknown => (MemberState::Unknown, Role::Uninitialized),
        Postgres::NoData => (MemberState::Stopped, Role::Uninitialized),
        Postgres::HalfMade => (MemberState::Initializing, Role::Uninitialized),
        Postgres::Stopped(stopped) => {
            let state = if stopped.clean { MemberState::Stopped } else { MemberState::Crashed };
            (state, if stopped.was_primary { Role::Demoted } else { Role::Replica })
        }
        Postgres::Starting { as_primary, .. } => (MemberState::Starting, if *as_primary { Role::Primary } else { Role::Replica }),
        Postgres::Unresponsive { .. } => (MemberState::Unknown, Role::Demoted),
        Postgres::Running(running) => match &running.role {
            ServerRole::Primary { .. } => (MemberState::Running, Role::Primary),
            ServerRole::Standby { streaming: true, .. } => (MemberState::Streaming, Role::Replica),
            ServerRole::Standby { .. } => (MemberState::Running, Role::Replica),
        },
    }
}
