//! The status code of a health check, as a pure function.
//!
//! As in Patroni but for one rule (SAFETY: proof of writability): `/`, `/primary`, `/master` and `/read-write` answer 200 only while
//! the lease is held with margin *and* the server was proved writable at its epoch. Patroni answers 200 as soon as it holds the lock,
//! which may be minutes before a write works. Who wants that asks `/leader`.

use super::{Facts, Query, Standing};
use crate::{parse_bool, parse_bytes, published_tags};
use serde_json::Value;
use tanist_engine::{Lsn, Role};

/// First segments of the paths that [`status()`] answers. An empty one is `/` itself.
pub const HEALTH_PATHS: [&str; 20] = [
    "",
    "primary",
    "master",
    "read-write",
    "leader",
    "standby-leader",
    "standby_leader",
    "replica",
    "read-only",
    "health",
    "liveness",
    "readiness",
    "sync",
    "synchronous",
    "async",
    "asynchronous",
    "quorum",
    "read-only-sync",
    "read-only-synchronous",
    "read-only-quorum",
];

/// Whether a path (without its query) is a health check. Only its first segment counts, as in Patroni.
pub fn is_health_path(path: &str) -> bool {
    HEALTH_PATHS.contains(&first_segment(path))
}

/// What stands between the first slashes: Patroni goes by this, whatever follows.
pub fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// The status code: 200 or 503. A path that is no health check is 503, as in Patroni.
pub fn status(path: &str, query: &Query, facts: &Facts) -> u16 {
    let (yes, tags_count) = match first_segment(path) {
        "" | "primary" | "master" | "read-write" => (primary(facts), false),
        "leader" => (facts.is_leader(), false),
        "liveness" => (alive(facts), false),
        "readiness" => (ready(query, facts), false),
        // A standby cluster has no primary; without one nobody is its leader.
        "standby-leader" | "standby_leader" => (false, false),
        "health" => (facts.is_running(), true),
        "replica" => (replica(query, facts), true),
        "read-only" => (serves_leader(facts) || replica(query, facts), true),
        "sync" | "synchronous" => (facts.cluster_known && facts.sync_standby && replica(query, facts), true),
        "quorum" => (facts.cluster_known && facts.quorum_standby && replica(query, facts), true),
        "async" | "asynchronous" => {
            let named = facts.sync_standby || facts.quorum_standby;
            (facts.cluster_known && !named && replica(query, facts), true)
        }
        "read-only-sync" | "read-only-synchronous" => {
            let member = serves_leader(facts) || facts.sync_standby && replica(query, facts);
            (facts.cluster_known && member, true)
        }
        "read-only-quorum" => {
            let member = serves_leader(facts) || facts.quorum_standby && replica(query, facts);
            (facts.cluster_known && member, true)
        }
        _ => (false, false),
    };
    if yes && (!tags_count || tags_match(query, facts)) { 200 } else { 503 }
}

fn primary(facts: &Facts) -> bool {
    facts.standing == Standing::Firm && facts.proved
}

/// The leader's server answers reads; whether it takes writes yet does not matter here.
fn serves_leader(facts: &Facts) -> bool {
    facts.is_leader() && facts.is_running()
}

fn replica(query: &Query, facts: &Facts) -> bool {
    let wanted = |value: &Value| parse_bool(value) == Some(true);
    let balanced = !facts.tags.get("noloadbalance").is_some_and(wanted);
    let state = match query.get("replication_state") {
        None => true,
        Some(state) => facts.streaming && state == "streaming",
    };
    let limit = query.get("lag").and_then(lag);
    balanced && facts.is_running() && facts.role == Role::Replica && state && !behind(facts, facts.replayed, limit)
}

/// Further behind the leader than `limit`. Nothing can be said while the leader's position is not known, as in Patroni.
fn behind(facts: &Facts, position: Option<Lsn>, limit: Option<i128>) -> bool {
    match (facts.leader_lsn, limit) {
        (Some(leader), Some(limit)) => i128::from(leader.0) - i128::from(position.unwrap_or_default().0) > limit,
        _ => false,
    }
}

/// A number of bytes that may have a sign. A negative one nobody meets who is not ahead of the leader: it takes a server out of service.
fn lag(text: &str) -> Option<i128> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(text) => parse_bytes(text).map(|bytes| -i128::from(bytes)),
        None => parse_bytes(text.strip_prefix('+').unwrap_or(text)).map(i128::from),
    }
}

/// The agent decides in time: ttl late is too late for a primary, twice ttl for a replica. In maintenance it need not decide.
fn alive(facts: &Facts) -> bool {
    let times = if facts.role == Role::Primary && facts.is_running() { 1 } else { 2 };
    facts.paused || facts.since_decision < facts.loop_wait + facts.ttl * times
}

fn ready(query: &Query, facts: &Facts) -> bool {
    if facts.is_leader() {
        return true;
    }
    if !facts.is_running() || !facts.streaming {
        return false;
    }
    if facts.leader_lsn.is_none() {
        return facts.failsafe;
    }
    let position = if query.get("mode") == Some("write") { facts.received } else { facts.replayed };
    let limit = query.get("lag").and_then(lag).unwrap_or(i128::from(facts.maximum_lag));
    !behind(facts, position, Some(limit))
}

/// Every `tag_<name>=<value>` must be a tag that this node shows, with that value.
fn tags_match(query: &Query, facts: &Facts) -> bool {
    let tags = published_tags(&facts.tags);
    query.with_prefix("tag_").all(|(name, wanted)| match tags.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => text == wanted,
        Some(other) => other.to_string().to_lowercase() == wanted,
    })
}

#[cfg(test)]
mod tests;
