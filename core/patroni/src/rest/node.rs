//! The body of `/patroni` and of every health check: this node in detail.

use crate::{
    DecodeError, PATRONI_VERSION, RestartReason, TagMap, engine_tags, fields::Fields, published_tags, rest_text, role_from_word,
    state_from_word,
};
use serde::Serialize;
use serde_json::{Map, Value};
use tanist_engine::{Lsn, MemberState, Role, Tags, Timeline};

/// The body, in Patroni's order. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeBody {
    /// State of PostgreSQL, Patroni's word.
    pub state: String,
    /// When the postmaster was started, as Python shows a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postmaster_start_time: Option<String>,
    /// Role as it runs, Patroni's word.
    pub role: String,
    /// For example 150018.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<u32>,
    /// Positions in the write-ahead log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xlog: Option<Xlog>,
    /// Named in `/sync` as a standby.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sync_standby: bool,
    /// Named in `/sync` as a standby of a quorum.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quorum_standby: bool,
    /// Its timeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// `streaming`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_state: Option<String>,
    /// Connected standbys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replication: Vec<ReplicationRow>,
    /// Maintenance mode.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pause: bool,
    /// Nobody holds the lock.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cluster_unlocked: bool,
    /// The primary stays without the store because every member has agreed to wait, or this member has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failsafe_mode_is_active: bool,
    /// Unix time at which the store last answered; zero: never.
    pub dcs_last_seen: u64,
    /// Its tags.
    #[serde(skip_serializing_if = "TagMap::is_empty")]
    pub tags: TagMap,
    /// The database system identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_system_identifier: Option<String>,
    /// Some setting waits for a restart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending_restart: bool,
    /// Which.
    #[serde(skip_serializing_if = "RestartReason::is_empty")]
    pub pending_restart_reason: RestartReason,
    /// Who answers.
    pub patroni: Identity,
    /// What only tanist says: the lease's epoch, whether it was proved, the fence. Patroni's clients ignore it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub tanist: Map<String, Value>,
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The Patroni release whose API this is.
    pub version: String,
    /// The cluster.
    pub scope: String,
    /// The node.
    pub name: String,
}

/// Positions: a primary has one, a standby two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Xlog {
    /// Of a primary.
    Primary {
        /// Flushed up to here.
        location: u64,
    },
    /// Of a standby.
    Standby {
        /// Received up to here.
        received_location: u64,
        /// Replayed up to here.
        replayed_location: u64,
        /// Commit time of the last replayed transaction, as Python shows a time.
        replayed_timestamp: Option<String>,
        /// Replay was paused by somebody.
        paused: bool,
    },
}

/// One line of pg_stat_replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "columns of pg_stat_replication")]
pub struct ReplicationRow {
    pub usename: String,
    pub application_name: String,
    pub client_addr: Option<String>,
    pub state: String,
    pub sync_state: String,
    pub sync_priority: i32,
}

impl NodeBody {
    /// A body that says only who answers and in what state the node is.
    pub fn new(scope: &str, name: &str, state: &str, role: &str) -> Self {
        let patroni = Identity { version: PATRONI_VERSION.to_owned(), scope: scope.to_owned(), name: name.to_owned() };
        Self { state: state.to_owned(), role: role.to_owned(), patroni, ..Self::default() }
    }

    /// Sets the tags, without the flags that are false.
    pub fn with_tags(mut self, tags: &TagMap) -> Self {
        self.tags = published_tags(tags);
        self
    }

    /// The text on the wire.
    pub fn encode(&self) -> String {
        rest_text(self)
    }
}

/// What another node's `/patroni` says, as far as a leader race needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// State of its PostgreSQL.
    pub state: MemberState,
    /// Its role.
    pub role: Role,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// End of its WAL: of a primary what it flushed, of a standby the later of received and replayed.
    pub lsn: Option<Lsn>,
    /// Its tags.
    pub tags: Tags,
    /// The name it answers with; a wrong one means that the address leads to another node.
    pub name: Option<String>,
    /// The cluster it answers for.
    pub scope: Option<String>,
    /// What only a tanist says.
    pub tanist: Map<String, Value>,
}

impl NodeState {
    const KEY: &'static str = "/patroni";

    /// Reads a peer's answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let word = fields.text("role")?.ok_or_else(|| fields.missing("role"))?;
        let role = role_from_word(&word).ok_or_else(|| fields.wrong("role", "a role Patroni has"))?;
        let state = state_from_word(&fields.text("state")?.ok_or_else(|| fields.missing("state"))?);
        let mut xlog = Fields::of(Self::KEY, Value::Object(fields.map("xlog")?))?;
        let positions = [xlog.lsn("location")?, xlog.lsn("received_location")?, xlog.lsn("replayed_location")?];
        let mut identity = Fields::of(Self::KEY, Value::Object(fields.map("patroni")?))?;
        Ok(Self {
            state,
            role,
            timeline: fields.timeline("timeline")?,
            lsn: positions.into_iter().flatten().max(),
            tags: engine_tags(Self::KEY, &fields.map("tags")?)?,
            name: identity.text("name")?,
            scope: identity.text("scope")?,
            tanist: fields.map("tanist")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_in_full_and_read_by_a_peer() {
        let mut tags = TagMap::new();
        tags.insert("nosync".to_owned(), Value::Bool(true));
        tags.insert("nofailover".to_owned(), Value::Bool(false));
        let body = NodeBody {
            postmaster_start_time: Some("2026-11-21 04:00:00.123456+00:00".to_owned()),
            server_version: Some(150_018),
            xlog: Some(Xlog::Standby {
                received_location: 67_197_376,
                replayed_location: 67_197_300,
                replayed_timestamp: None,
                paused: false,
            }),
            sync_standby: true,
            timeline: Some(2),
            replication_state: Some("streaming".to_owned()),
            dcs_last_seen: 1_795_233_600,
            database_system_identifier: Some("7575000000000000001".to_owned()),
            ..NodeBody::new("main", "b", "running", "replica").with_tags(&tags)
        };
        let text = body.encode();
        assert_eq!(text, include_str!("../../tests/goldens/rest-patroni-standby.json").trim_end());
        let seen = NodeState::decode(text.as_bytes()).unwrap();
        assert_eq!((seen.role, seen.state, seen.lsn), (Role::Replica, MemberState::Running, Some(Lsn(67_197_376))));
        assert_eq!((seen.tags.nosync, seen.name.as_deref(), seen.scope.as_deref()), (true, Some("b"), Some("main")));
    }

    #[test]
    fn a_primary_in_full() {
        let row = ReplicationRow {
            usename: "replicator".to_owned(),
            application_name: "b".to_owned(),
            client_addr: Some("10.0.0.2".to_owned()),
            state: "streaming".to_owned(),
            sync_state: "sync".to_owned(),
            sync_priority: 1,
        };
        let body = NodeBody {
            server_version: Some(150_018),
            xlog: Some(Xlog::Primary { location: 67_197_376 }),
            timeline: Some(2),
            replication: vec![row],
            dcs_last_seen: 1_795_233_600,
            ..NodeBody::new("main", "a", "running", "primary")
        };
        assert_eq!(body.encode(), include_str!("../../tests/goldens/rest-patroni-primary.json").trim_end());
    }

    #[test]
    fn a_peer_that_does_not_say_its_role_is_not_understood() {
        assert_eq!(NodeState::decode(br#"{"state":"running"}"#).unwrap_err().to_string(), "/patroni: role is missing");
        assert_eq!(NodeState::decode(br#"{"state":"running","role":"king"}"#).unwrap_err().field(), "role");
    }
}
