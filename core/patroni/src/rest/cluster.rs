//! The body of `/cluster`, which is also what `patronictl list --format json` is made from.

use crate::{RestartReason, TagMap, dcs::MemberKey, published_tags, rest_text, words::state_word};
use serde::Serialize;
use serde_json::{Map, Value};
use tanist_engine::{Lsn, Member, MemberState};

/// The body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterBody {
    /// The members, by name.
    pub members: Vec<ClusterMember>,
    /// The cluster.
    pub scope: String,
    /// Maintenance mode.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pause: bool,
    /// What only tanist says. Patroni's clients ignore it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub tanist: Map<String, Value>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterMember {
    /// Its name.
    pub name: String,
    /// Its part in the cluster.
    pub role: ClusterRole,
    /// State of its PostgreSQL, `streaming` where it streams.
    pub state: String,
    /// Base URL of its REST API.
    pub api_url: Option<String>,
    /// Where its PostgreSQL listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its timeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// Some setting waits for a restart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending_restart: bool,
    /// Which.
    #[serde(skip_serializing_if = "RestartReason::is_empty")]
    pub pending_restart_reason: RestartReason,
    /// Its tags.
    #[serde(skip_serializing_if = "TagMap::is_empty")]
    pub tags: TagMap,
    /// Its positions; the leader has none.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
}

/// A standby's positions as text, and how many bytes each is behind the leader; `unknown` for what is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Positions {
    receive_lag: Value,
    receive_lsn: Value,
    replay_lag: Value,
    replay_lsn: Value,
    lag: Value,
    lsn: Value,
}

impl Positions {
    fn new(key: &MemberKey, lsn: Option<Lsn>, leader: Option<Lsn>) -> Self {
        let pair = |lsn: Option<Lsn>| match lsn {
            None => (Value::from("unknown"), Value::from("unknown")),
            Some(lsn) => {
                let lag = leader.map_or_else(|| Value::from("unknown"), |leader| Value::from(leader.0.saturating_sub(lsn.0)));
                (lag, Value::from(lsn.to_string()))
            }
        };
        let (receive_lag, receive_lsn) = pair(key.receive_lsn);
        let (replay_lag, replay_lsn) = pair(key.replay_lsn);
        let (lag, lsn) = pair(lsn);
        Self { receive_lag, receive_lsn, replay_lag, replay_lsn, lag, lsn }
    }
}

/// A member's part in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterRole {
    /// Holds the lock.
    Leader,
    /// Named in `/sync` as a standby.
    SyncStandby,
    /// The same in quorum mode.
    QuorumStandby,
    /// Any other.
    Replica,
}

impl ClusterBody {
    /// Sorts the members by name, as Patroni does.
    pub fn new(scope: &str, mut members: Vec<ClusterMember>) -> Self {
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Self { members, scope: scope.to_owned(), pause: false, tanist: Map::new() }
    }

    /// The text on the wire.
    pub fn encode(&self) -> String {
        rest_text(self)
    }
}

impl ClusterMember {
    /// From a member as the engine sees it and its key in full; `leader_lsn` is the leader's position.
    pub fn from_engine(member: &Member, role: ClusterRole, key: &MemberKey, leader_lsn: Option<Lsn>) -> Self {
        let Member {
            name,
            postgres,
            api_url,
            state,
            role: _,
            timeline,
            lsn,
            checkpointed: _,
            tags: _,
            tanist: _,
            storage: _,
            follows: _,
        } = member;
        let shown =
            if *state == MemberState::Streaming && role != ClusterRole::Leader { "streaming" } else { state_word(*state) };
        Self {
            name: name.to_string(),
            role,
            state: shown.to_owned(),
            api_url: api_url.clone(),
            host: postgres.as_ref().map(|endpoint| endpoint.host.clone()),
            port: postgres.as_ref().map(|endpoint| endpoint.port),
            timeline: timeline.map(|timeline| timeline.0),
            pending_restart: key.pending_restart,
            pending_restart_reason: key.pending_restart_reason.clone(),
            tags: published_tags(&key.tags),
            positions: (role != ClusterRole::Leader).then(|| Positions::new(key, *lsn, leader_lsn)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::{Endpoint, Role, Tags, Timeline};

    fn member(name: &str, state: MemberState, lsn: Option<u64>) -> Member {
        Member {
            name: name.into(),
            postgres: Some(Endpoint { host: format!("{name}.example"), port: 5432 }),
            api_url: Some(format!("http://{name}.example:8008/patroni")),
            state,
            role: Role::Replica,
            timeline: Some(Timeline(2)),
            lsn: lsn.map(Lsn),
            checkpointed: false,
            tags: Tags::default(),
            tanist: true,
            storage: tanist_engine::Storage::Good,
            follows: None,
        }
    }

    #[test]
    fn members_by_name_with_lag() {
        let of = |member: &Member, role| {
            let replayed = member.lsn.map(|lsn| Lsn(lsn.0 - 76));
            let pending_restart = role == ClusterRole::SyncStandby;
            let key = MemberKey { receive_lsn: member.lsn, replay_lsn: replayed, pending_restart, ..MemberKey::default() };
            ClusterMember::from_engine(member, role, &key, Some(Lsn(67_197_376)))
        };
        let body = ClusterBody::new(
            "main",
            vec![
                of(&member("c", MemberState::Starting, None), ClusterRole::Replica),
                of(&member("b", MemberState::Streaming, Some(67_197_000)), ClusterRole::SyncStandby),
                of(&member("a", MemberState::Running, Some(67_197_376)), ClusterRole::Leader),
            ],
        );
        assert_eq!(body.encode(), include_str!("../../tests/goldens/rest-cluster.json").trim_end());
    }
}
