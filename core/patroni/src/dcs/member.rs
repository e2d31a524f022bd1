//! `members/<name>`: what a node says of itself.

use super::{conn_url, endpoint_of};
use crate::{
    DecodeError, PATRONI_VERSION, RestartReason, TagMap, dcs_text, engine_tags, fields::Fields, published_tags, role_from_word,
    state_from_word, state_word, storage_from_word, storage_word,
};
use serde::Serialize;
use tanist_engine::{Endpoint, Epoch, Lsn, Member, MemberFace, MemberName, MemberState, Role, Storage, Timeline};

/// The key's value. Words stay as they were written: a later Patroni may know more of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberKey {
    /// Where its PostgreSQL listens, as a URL.
    pub conn_url: Option<String>,
    /// Base URL of its REST API.
    pub api_url: Option<String>,
    /// State of its PostgreSQL.
    pub state: String,
    /// Its role.
    pub role: String,
    /// The Patroni release it speaks.
    pub version: Option<String>,
    /// Our mark: the tanist release; `None` for a Patroni.
    pub tanist: Option<String>,
    /// Its tags.
    pub tags: TagMap,
    /// Some setting waits for a restart.
    pub pending_restart: bool,
    /// A primary whose checkpoint after promotion is not done yet: nobody can be rewound from it.
    pub checkpoint_awaited: bool,
    /// Which.
    pub pending_restart_reason: RestartReason,
    /// Its position: of a primary the end of what it wrote, of a standby the later of received and replayed.
    pub xlog_location: Option<Lsn>,
    /// Of a standby: replayed up to here.
    pub replay_lsn: Option<Lsn>,
    /// Of a standby: received up to here.
    pub receive_lsn: Option<Lsn>,
    /// Of a standby: `streaming` or `in archive recovery`.
    pub replication_state: Option<String>,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// It has taken notice of the maintenance mode.
    pub pause: bool,
    /// Our mark: what is wrong with its storage.
    pub storage: Storage,
    /// A standby of ours that follows a leader of this epoch.
    pub follows: Option<Epoch>,
}

/// What a node's member key says besides its [`MemberFace`]: for people and their tools, nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberDetail {
    /// Of a standby: received up to here.
    pub received: Option<Lsn>,
    /// Of a standby: replayed up to here.
    pub replayed: Option<Lsn>,
    /// Of a standby: it does not stream and has a command that fetches WAL from an archive.
    pub in_archive_recovery: bool,
    /// Settings that wait for a restart.
    pub pending_restart: RestartReason,
}

/// `replication_state` of a standby that takes its WAL from an archive.
pub const IN_ARCHIVE_RECOVERY: &str = "in archive recovery";
const STREAMING: &str = "streaming";

/// What a node's member key says that does not change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberIdentity {
    /// Where its PostgreSQL listens.
    pub postgres: Endpoint,
    /// Base URL of its REST API, for example `http://10.0.0.1:8008/patroni`.
    pub api_url: String,
    /// The tanist release.
    pub tanist: String,
    /// Its tags as configured.
    pub tags: TagMap,
}

/// In the order in which Patroni writes them, so that the bytes are comparable.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_url: Option<&'a str>,
    state: &'a str,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tanist: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_after_promote: Option<bool>,
    #[serde(skip_serializing_if = "TagMap::is_empty")]
    tags: &'a TagMap,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending_restart: bool,
    #[serde(skip_serializing_if = "RestartReason::is_empty")]
    pending_restart_reason: &'a RestartReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    xlog_location: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pause: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<u64>,
}

impl MemberKey {
    const KEY: &'static str = "members";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        Ok(Self {
            conn_url: fields.text("conn_url")?,
            api_url: fields.text("api_url")?,
            state: fields.text("state")?.unwrap_or_else(|| "unknown".to_owned()),
            role: fields.text("role")?.unwrap_or_else(|| "uninitialized".to_owned()),
            version: fields.text("version")?,
            tanist: fields.text("tanist")?,
            tags: fields.map("tags")?,
            pending_restart: fields.flag("pending_restart")?.unwrap_or(false),
            // Patroni writes it only while it is false.
            checkpoint_awaited: fields.flag("checkpoint_after_promote")? == Some(false),
            pending_restart_reason: RestartReason::read(fields.map("pending_restart_reason").unwrap_or_default()),
            xlog_location: fields.lsn("xlog_location")?,
            replay_lsn: fields.lsn("replay_lsn")?,
            receive_lsn: fields.lsn("receive_lsn")?,
            replication_state: fields.text("replication_state")?,
            timeline: fields.timeline("timeline")?,
            pause: fields.flag("pause")?.unwrap_or(false),
            storage: storage_from_word(fields.text("storage")?.as_deref()),
            follows: fields.number("follows")?.map(Epoch).filter(|epoch| epoch.0 < Epoch::LIMIT),
        })
    }

    /// Writes it; what is not known is left out.
    pub fn encode(&self) -> String {
        let Self {
            conn_url,
            api_url,
            state,
            role,
            version,
            tanist,
            tags,
            pending_restart,
            checkpoint_awaited,
            pending_restart_reason,
            xlog_location,
            replay_lsn,
            receive_lsn,
            replication_state,
            timeline,
            pause,
            storage,
            follows,
        } = self;
        dcs_text(&Json {
            conn_url: conn_url.as_deref(),
            api_url: api_url.as_deref(),
            state,
            role,
            version: version.as_deref(),
            tanist: tanist.as_deref(),
            checkpoint_after_promote: checkpoint_awaited.then_some(false),
            tags,
            pending_restart: *pending_restart,
            pending_restart_reason,
            xlog_location: xlog_location.map(|lsn| lsn.0),
            replay_lsn: replay_lsn.map(|lsn| lsn.0),
            receive_lsn: receive_lsn.map(|lsn| lsn.0),
            replication_state: replication_state.as_deref(),
            timeline: timeline.map(|timeline| timeline.0),
            pause: *pause,
            storage: storage_word(*storage),
            follows: follows.map(|epoch| epoch.0),
        })
    }

    /// From the engine's face of this node and what the agent knows of it.
    pub fn from_engine(face: &MemberFace, detail: &MemberDetail, identity: &MemberIdentity) -> Self {
        let MemberFace { state, role, timeline, lsn, streaming, checkpointed, storage, follows } = face;
        let MemberDetail { received, replayed, in_archive_recovery, pending_restart } = detail;
        let MemberIdentity { postgres, api_url, tanist, tags } = identity;
        let streams = *role == Role::Replica && (*streaming || *state == MemberState::Streaming);
        let replication_state = match (streams, *role == Role::Replica && *in_archive_recovery) {
            (true, _) => Some(STREAMING),
            (false, true) => Some(IN_ARCHIVE_RECOVERY),
            (false, false) => None,
        };
        Self {
            conn_url: Some(conn_url(postgres)),
            api_url: Some(api_url.clone()),
            state: state_word(*state).to_owned(),
            role: role.to_string(),
            version: Some(PATRONI_VERSION.to_owned()),
            tanist: Some(tanist.clone()),
            tags: published_tags(tags),
            pending_restart: !pending_restart.is_empty(),
            pending_restart_reason: pending_restart.clone(),
            checkpoint_awaited: *role == Role::Primary && !checkpointed,
            xlog_location: *lsn,
            replay_lsn: *replayed,
            receive_lsn: *received,
            replication_state: replication_state.map(str::to_owned),
            timeline: *timeline,
            pause: false,
            storage: *storage,
            follows: *follows,
        }
    }

    /// For the engine. A role it does not know is an error: whether that node is a primary must not be guessed.
    pub fn into_engine(self, name: MemberName) -> Result<Member, DecodeError> {
        let Self {
            conn_url,
            api_url,
            state,
            role,
            version: _,
            pending_restart: _,
            pending_restart_reason: _,
            replay_lsn: _,
            receive_lsn: _,
            pause: _,
            tanist,
            tags,
            checkpoint_awaited,
            xlog_location,
            replication_state,
            timeline,
            storage,
            follows,
        } = self;
        let role = role_from_word(&role).ok_or(DecodeError::Wrong {
            key: Self::KEY,
            field: "role".to_owned(),
            expected: "one of primary, replica, standby_leader, promoted, demoted, uninitialized",
        })?;
        let state = match state_from_word(&state) {
            MemberState::Running if replication_state.as_deref() == Some(STREAMING) => MemberState::Streaming,
            state => state,
        };
        Ok(Member {
            name,
            postgres: conn_url.as_deref().and_then(endpoint_of),
            api_url,
            state,
            role,
            timeline,
            lsn: xlog_location,
            checkpointed: role == Role::Primary && !checkpoint_awaited,
            tags: engine_tags(Self::KEY, &tags)?,
            tanist: tanist.is_some(),
            storage,
            follows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn identity() -> MemberIdentity {
        let mut tags = TagMap::new();
        tags.insert("nosync".to_owned(), json!(true));
        let postgres = Endpoint { host: "10.0.0.1".to_owned(), port: 5432 };
        MemberIdentity { postgres, api_url: "http://10.0.0.1:8008/patroni".to_owned(), tanist: "0.1.0".to_owned(), tags }
    }

    #[test]
    fn what_the_engine_says_arrives_at_the_other_engine() {
        let face = MemberFace {
            state: MemberState::Running,
            role: Role::Replica,
            timeline: Some(Timeline(3)),
            lsn: Some(Lsn(0x0300_0060)),
            streaming: true,
            checkpointed: false,
            storage: Storage::Full,
            follows: Some(Epoch(41)),
        };
        let change = json!({"max_connections": {"old_value": "100", "new_value": "200"}});
        let pending_restart = RestartReason::read(change.as_object().cloned().unwrap());
        let (received, replayed) = (face.lsn, Some(Lsn(0x0300_0028)));
        let detail = MemberDetail { received, replayed, in_archive_recovery: false, pending_restart };
        let text = MemberKey::from_engine(&face, &detail, &identity()).encode();
        assert!(
            text.contains(r#""pending_restart":true,"pending_restart_reason":{"max_connections":{"old_value":"100","#)
                && text.contains(r#""new_value":"200"}},"xlog_location":50331744,"replay_lsn":50331688,"receive_lsn":50331744"#),
            "{text}"
        );
        let member = MemberKey::decode(text.as_bytes()).unwrap().into_engine("a".into()).unwrap();
        let wanted = Member {
            name: "a".into(),
            postgres: Some(identity().postgres),
            api_url: Some(identity().api_url),
            state: MemberState::Streaming,
            role: Role::Replica,
            timeline: face.timeline,
            lsn: face.lsn,
            checkpointed: false,
            tags: tanist_engine::Tags { nosync: true, ..Default::default() },
            tanist: true,
            storage: Storage::Full,
            follows: Some(Epoch(41)),
        };
        assert_eq!(member, wanted);
    }

    #[test]
    fn a_standby_that_does_not_stream_may_take_from_the_archive() {
        let state = |streaming, role, in_archive_recovery| {
            let face = MemberFace {
                state: MemberState::Running,
                role,
                timeline: None,
                lsn: None,
                streaming,
                checkpointed: false,
                storage: Storage::Good,
                follows: None,
            };
            let detail = MemberDetail { in_archive_recovery, ..MemberDetail::default() };
            MemberKey::from_engine(&face, &detail, &identity()).replication_state
        };
        assert_eq!(state(false, Role::Replica, true).as_deref(), Some("in archive recovery"));
        assert_eq!(state(true, Role::Replica, true).as_deref(), Some("streaming"));
        assert_eq!(state(false, Role::Replica, false), None);
        assert_eq!(state(false, Role::Primary, true), None, "promoted since the look");
    }

    #[test]
    fn a_patroni_is_not_a_tanist() {
        let key = MemberKey::decode(br#"{"state":"running","role":"master","conn_url":"nonsense","later":{"a":1}}"#).unwrap();
        let member = key.into_engine("b".into()).unwrap();
        assert_eq!((member.tanist, member.role, member.postgres, member.storage), (false, Role::Primary, None, Storage::Good));
    }

    #[test]
    fn a_checkpoint_is_awaited_in_patroni_s_words() {
        let awaited = |key: &str| {
            let text = format!(r#"{{"state":"running","role":"{key}}}"#);
            MemberKey::decode(text.as_bytes()).unwrap().into_engine("b".into()).unwrap().checkpointed
        };
        assert!(awaited(r#"primary""#) && !awaited(r#"replica""#));
        assert!(!awaited(r#"primary","checkpoint_after_promote":false"#));
        let face = MemberFace {
            state: MemberState::Running,
            role: Role::Primary,
            timeline: Some(Timeline(2)),
            lsn: None,
            streaming: false,
            checkpointed: false,
            storage: Storage::Good,
            follows: None,
        };
        let text = MemberKey::from_engine(&face, &MemberDetail::default(), &identity()).encode();
        assert!(text.contains(r#""checkpoint_after_promote":false"#), "{text}");
        let done = MemberFace { checkpointed: true, ..face };
        let text = MemberKey::from_engine(&done, &MemberDetail::default(), &identity()).encode();
        assert!(!text.contains("checkpoint"), "{text}");
    }

    #[test]
    fn an_unknown_role_is_no_replica() {
        let key = MemberKey::decode(br#"{"state":"running","role":"chief"}"#).unwrap();
        let error = key.into_engine("b".into()).unwrap_err();
        assert_eq!(error.field(), "role");
    }

    #[test]
    fn limits_hold() {
        let long = format!(r#"{{"state":"{}"}}"#, "x".repeat(5000));
        assert_eq!(MemberKey::decode(long.as_bytes()).unwrap_err().field(), "state");
        let huge = vec![b' '; crate::MAX_VALUE + 1];
        assert!(matches!(MemberKey::decode(&huge), Err(DecodeError::TooLong { .. })));
        let deep = "[".repeat(100_000);
        assert!(matches!(MemberKey::decode(deep.as_bytes()), Err(DecodeError::Syntax { .. })));
        assert_eq!(MemberKey::decode(br#"{"timeline":4294967296}"#).unwrap_err().field(), "timeline");
    }
}
