//! The body of `/cluster`, which is also what `patronictl list --format json` is made from.

use crate::{TagMap, published_tags, rest_text, words::state_word};
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
    /// Its tags.
    #[serde(skip_serializing_if = "TagMap::is_empty")]
    pub tags: TagMap,
    /// Bytes behind the leader, or `unknown`; the leader has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Value>,
    /// Its position, or `unknown`; the leader has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<Value>,
}

/// A member's part in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterRole {
    /// Holds the lock.
    Leader,
    /// Named in `/sync` as a standby.
    SyncStandby,
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
    /// From a member key. `tags` are the key's tags in full, which the engine does not keep; `leader_lsn` is the leader's position.
    pub fn from_engine(member: &Member, role: ClusterRole, tags: &TagMap, leader_lsn: Option<Lsn>) -> Self {
        let Member { name, postgres, api_url, state, role: _, timeline, lsn, tags: _, tanist: _ } = member;
        let (lag, position) = match (role, lsn) {
            (ClusterRole::Leader, _) => (None, None),
            (_, None) => (Some(Value::from("unknown")), Some(Value::from("unknown"))),
            (_, Some(lsn)) => {
                let lag = leader_lsn.map_or_else(|| Value::from("unknown"), |leader| Value::from(leader.0.saturating_sub(lsn.0)));
                (Some(lag), Some(Value::from(lsn.to_string())))
            }
        };
        let shown =
            if *state == MemberState::Streaming && role != ClusterRole::Leader { "streaming" } else { state_word(*state) };
        Self {
            name: name.0.clone(),
            role,
            state: shown.to_owned(),
            api_url: api_url.clone(),
            host: postgres.as_ref().map(|endpoint| endpoint.host.clone()),
            port: postgres.as_ref().map(|endpoint| endpoint.port),
            timeline: timeline.map(|timeline| timeline.0),
            tags: published_tags(tags),
            lag,
            lsn: position,
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
            tags: Tags::default(),
            tanist: true,
        }
    }

    #[test]
    fn members_by_name_with_lag() {
        let of = |member: &Member, role| ClusterMember::from_engine(member, role, &TagMap::new(), Some(Lsn(67_197_376)));
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
