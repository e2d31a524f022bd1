//! `failover`: a switchover or failover that somebody asked for.

use crate::{DecodeError, dcs_text, fields::Fields};
use serde::Serialize;
use std::fmt;
use tanist_engine::{MemberName, Revision, Switchover};

/// The key's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailoverKey {
    /// Who must lead for it to apply; `None`: a manual failover, which does not ask who leads.
    pub leader: Option<MemberName>,
    /// Who shall lead; `None`: the best.
    pub member: Option<MemberName>,
    /// When, in ISO 8601 with an offset; `None`: now.
    pub scheduled_at: Option<String>,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<&'a str>,
}

impl FailoverKey {
    const KEY: &'static str = "failover";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let scheduled_at = fields.text("scheduled_at")?.filter(|text| !text.is_empty());
        Ok(Self { leader: fields.name("leader")?, member: fields.name("member")?, scheduled_at })
    }

    /// The request that a value is, if it is one. Patroni never deletes the key: what is done it leaves as `{}`. A value that nobody can
    /// read asks for nothing either; the leader takes it away.
    pub fn waiting(bytes: &[u8]) -> Option<Self> {
        let nothing = Self::default();
        Self::decode(bytes).ok().filter(|key| *key != nothing)
    }

    /// Writes it; what is not said is left out.
    pub fn encode(&self) -> String {
        let Self { leader, member, scheduled_at } = self;
        let text = |name: &Option<MemberName>| name.as_ref().map(|name| name.to_string());
        let (leader, member) = (text(leader), text(member));
        dcs_text(&Json { leader: leader.as_deref(), member: member.as_deref(), scheduled_at: scheduled_at.as_deref() })
    }

    /// For the engine, with the revision the store gave. `None` for what asks nothing of it now: nobody is named, or the time has
    /// yet to come (the agent's schedule passes it on when it has).
    pub fn into_engine(self, revision: Revision) -> Option<Switchover> {
        let Self { leader, member, scheduled_at } = self;
        let asks = scheduled_at.is_none() && (leader.is_some() || member.is_some());
        asks.then_some(Switchover { revision, leader, candidate: member })
    }

    /// From the engine.
    pub fn from_engine(switchover: &Switchover) -> Self {
        let Switchover { revision: _, leader, candidate } = switchover;
        Self { leader: leader.clone(), member: candidate.clone(), scheduled_at: None }
    }
}

/// In words, for people.
impl fmt::Display for FailoverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leader, member, scheduled_at } = self;
        write!(f, "a {}", if leader.is_none() && member.is_some() { "failover" } else { "switchover" })?;
        if let Some(leader) = leader {
            write!(f, " from \"{leader}\"")?;
        }
        if let Some(member) = member {
            write!(f, " to \"{member}\"")?;
        }
        match scheduled_at {
            Some(time) => write!(f, ", scheduled for {time}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patroni_leaves_behind_is_no_request() {
        for nothing in ["{}", r#"{"leader":"","member":null}"#, "", "null", "a:b"] {
            assert_eq!(FailoverKey::waiting(nothing.as_bytes()), None, "{nothing}");
        }
        for (request, words) in [
            (r#"{"leader":"a"}"#, r#"a switchover from "a""#),
            (r#"{"leader":"a","member":"b"}"#, r#"a switchover from "a" to "b""#),
            (r#"{"member":"b"}"#, r#"a failover to "b""#),
            (
                r#"{"leader":"a","scheduled_at":"2030-01-01T00:00:00+00:00"}"#,
                r#"a switchover from "a", scheduled for 2030-01-01T00:00:00+00:00"#,
            ),
        ] {
            assert_eq!(FailoverKey::waiting(request.as_bytes()).unwrap().to_string(), words, "{request}");
        }
    }

    #[test]
    fn a_scheduled_one_is_not_for_now() {
        let key = FailoverKey::decode(br#"{"leader":"a","member":"b","scheduled_at":"2030-01-01T00:00:00+00:00"}"#).unwrap();
        assert_eq!(key.into_engine(Revision(3)), None);
        let key = FailoverKey::decode(br#"{"leader":"a","member":"b"}"#).unwrap();
        let wanted = Switchover { revision: Revision(3), leader: Some("a".into()), candidate: Some("b".into()) };
        assert_eq!(key.into_engine(Revision(3)), Some(wanted));
        assert_eq!(FailoverKey::decode(b"{}").unwrap().into_engine(Revision(3)), None);
    }
}
