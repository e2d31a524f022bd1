//! `POST /switchover` and `POST /failover`: what may be asked for, what is refused and how the outcome is told. Words and codes are
//! Patroni's, because patronictl shows the one and branches on the other.

use crate::{DecodeError, fields::Fields};
use serde_json::{Map, Value};
use std::time::Duration;
use tanist_engine::MemberName;

/// So much of another node's reason is shown.
const MAX_WHY: usize = 200;
/// What is said of a request that may still be carried out.
const UNKNOWN: &str = "the store did not say whether it took the request; look who leads before asking again";

/// Which of the two was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From a leader that is named, to a candidate or the best.
    Switchover,
    /// To a candidate that is named, whoever leads.
    Failover,
}

/// The body of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchoverRequest {
    /// Who leads now.
    pub leader: Option<MemberName>,
    /// Who shall; `None`: the best.
    pub candidate: Option<MemberName>,
    /// When; `None`: now.
    pub scheduled_at: Option<String>,
}

/// What a request is checked against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchoverView {
    /// Who holds the lock.
    pub leader: Option<MemberName>,
    /// The other members.
    pub candidates: Vec<Candidate>,
    /// Only synchronous standbys may take over.
    pub synchronous: bool,
    /// Maintenance mode.
    pub paused: bool,
}

/// A member that might take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: MemberName,
    /// Named in `/sync`.
    pub sync: bool,
    /// Answers, runs, follows, and its tags let it lead.
    pub able: bool,
}

/// Not done, and nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The words of the answer.
    pub text: String,
}

impl SwitchoverRequest {
    const KEY: &'static str = "/switchover";

    /// Reads the body. `member` is an old name of `candidate`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let scheduled_at = fields.text("scheduled_at")?.filter(|text| !text.is_empty());
        let candidate = fields.name("candidate")?;
        let member = fields.name("member")?;
        Ok(Self { leader: fields.name("leader")?, candidate: candidate.or(member), scheduled_at })
    }

    /// What it is: a failover that names a leader is a switchover, as in Patroni.
    pub fn kind(&self, path: Kind) -> Kind {
        if self.leader.is_some() { Kind::Switchover } else { path }
    }

    /// Whether it may be written to `/failover`, in Patroni's order of checks. One is stricter: in synchronous mode a failover, too,
    /// goes only to a synchronous standby, because any other may lack what was acknowledged.
    pub fn check(&self, path: Kind, view: &SwitchoverView) -> Result<(), Refusal> {
        let Self { leader, candidate, scheduled_at } = self;
        let SwitchoverView { leader: present, candidates, synchronous, paused } = view;
        let word = self.kind(path).word();
        let bad = |text: &str| Err(Refusal { status: 400, text: text.to_owned() });
        let unfit = |text: &str| Err(Refusal { status: 412, text: text.to_owned() });
        let impossible = |why: &str| unfit(&format!("{word} is not possible: {why}"));
        match path {
            Kind::Failover if candidate.is_none() => return bad("Failover could be performed only to a specific candidate"),
            Kind::Switchover if leader.is_none() => return bad("Switchover could be performed only from a specific leader"),
            Kind::Failover | Kind::Switchover => {}
        }
        if scheduled_at.is_some() {
            return bad(match path {
                Kind::Failover => "Failover can't be scheduled",
                Kind::Switchover => "scheduled switchover is not supported by this version of tanist",
            });
        }
        if *paused && candidate.is_none() {
            return bad("Switchover is possible only to a specific candidate in a paused state");
        }
        if leader == candidate {
            return bad("Switchover target and source are the same");
        }
        if leader.is_some() && leader != present {
            return unfit("leader name does not match");
        }
        let named: Vec<&Candidate> = match candidate {
            Some(wanted) => candidates.iter().filter(|member| member.name == *wanted).collect(),
            None => candidates.iter().filter(|member| !synchronous || member.sync).collect(),
        };
        match (named.is_empty(), candidate) {
            (true, Some(_)) => unfit("candidate does not exists"),
            (true, None) if *synchronous => impossible("can not find sync_standby"),
            (true, None) => impossible("cluster does not have members except leader"),
            (false, Some(_)) if *synchronous && !named.iter().any(|member| member.sync) => {
                unfit("candidate name does not match with sync_standby")
            }
            (false, _) if !named.iter().any(|member| member.able) => impossible("no good candidates have been found"),
            (false, _) => Ok(()),
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        }
    }

    /// Its word at the beginning of a sentence.
    fn title(self) -> &'static str {
        match self {
            Self::Switchover => "Switchover",
            Self::Failover => "Failover",
        }
    }
}

/// How a switchover that was asked for ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody else leads.
    Done {
        /// Who.
        leader: MemberName,
        /// Who was asked for.
        candidate: Option<MemberName>,
    },
    /// The request is gone, and the leader is still the same.
    Failed {
        /// Why the leader refused it, where that is known here.
        why: Option<String>,
    },
    /// Nothing is known within the time an answer may take.
    StatusUnknown {
        /// What the node that was asked is doing.
        says: Option<String>,
    },
    /// The request surely did not reach the store.
    NotWritten,
    /// The store did not say whether it took the request, and nothing was seen of it within the time an answer may take.
    WriteUnknown,
}

impl Outcome {
    /// Status and words of the answer.
    pub fn answer(&self, kind: Kind) -> (u16, String) {
        let (done, title) = match kind {
            Kind::Switchover => ("switched", "Switched"),
            Kind::Failover => ("failed", "Failed"),
        };
        match self {
            Self::Done { leader, candidate: Some(wanted) } if wanted != leader => {
                (200, format!("{title} over to \"{leader}\" instead of \"{wanted}\""))
            }
            Self::Done { leader, candidate: _ } => (200, format!("Successfully {done} over to \"{leader}\"")),
            Self::Failed { why } => (503, with(format!("{} failed", kind.title()), why.as_deref())),
            Self::StatusUnknown { says } => (503, with(format!("{} status unknown", kind.title()), says.as_deref())),
            Self::NotWritten => (503, "failed to write failover key into DCS".to_owned()),
            Self::WriteUnknown => (503, with(format!("{} status unknown", kind.title()), Some(UNKNOWN))),
        }
    }
}

/// The last switchover that a node refused as leader. Told in the object `tanist` of its `/patroni`, for the node that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedSwitchover {
    /// Why, in words.
    pub why: String,
    /// How long ago.
    pub age: Duration,
}

impl RefusedSwitchover {
    const FIELD: &'static str = "switchover_refused";

    /// Puts it among what only tanist says.
    pub fn tell(&self, own: &mut Map<String, Value>) {
        let Self { why, age } = self;
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        own.insert(Self::FIELD.into(), serde_json::json!({"why": why, "age_ms": age}));
    }

    /// Reads it. Nothing where none is told, or none that makes sense.
    pub fn told(own: &Map<String, Value>) -> Option<Self> {
        let told = own.get(Self::FIELD)?;
        let why = told.get("why")?.as_str()?.chars().filter(|letter| !letter.is_control()).take(MAX_WHY).collect();
        Some(Self { why, age: Duration::from_millis(told.get("age_ms")?.as_u64()?) })
    }
}

/// Patroni's words, and ours behind them.
fn with(words: String, more: Option<&str>) -> String {
    more.map_or_else(|| words.clone(), |more| format!("{words}: {more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> SwitchoverView {
        let candidate = |name: &str, sync, able| Candidate { name: name.into(), sync, able };
        let candidates = vec![candidate("b", true, true), candidate("c", false, true), candidate("d", false, false)];
        SwitchoverView { leader: Some("a".into()), candidates, synchronous: false, paused: false }
    }

    fn ask(path: Kind, body: &str, view: &SwitchoverView) -> (u16, String) {
        match SwitchoverRequest::decode(body.as_bytes()).unwrap().check(path, view) {
            Ok(()) => (0, "accepted".to_owned()),
            Err(Refusal { status, text }) => (status, text),
        }
    }

    #[test]
    fn failovers_and_their_answers() {
        let sync = SwitchoverView { synchronous: true, ..view() };
        let vacant = SwitchoverView { leader: None, ..view() };
        for (body, view, status, text) in [
            (r#"{"candidate":"c"}"#, &view(), 0, "accepted"),
            (r#"{"candidate":"c"}"#, &vacant, 0, "accepted"),
            (r#"{"leader":"a","candidate":"c"}"#, &view(), 0, "accepted"),
            ("{}", &view(), 400, "Failover could be performed only to a specific candidate"),
            (r#"{"leader":"a"}"#, &view(), 400, "Failover could be performed only to a specific candidate"),
            (r#"{"candidate":"c","scheduled_at":"2030-01-01T00:00:00+00:00"}"#, &view(), 400, "Failover can't be scheduled"),
            (r#"{"leader":"x","candidate":"c"}"#, &view(), 412, "leader name does not match"),
            (r#"{"candidate":"x"}"#, &view(), 412, "candidate does not exists"),
            (r#"{"candidate":"c"}"#, &sync, 412, "candidate name does not match with sync_standby"),
            (r#"{"candidate":"d"}"#, &view(), 412, "failover is not possible: no good candidates have been found"),
        ] {
            assert_eq!(ask(Kind::Failover, body, view), (status, text.to_owned()), "{body}");
        }
    }

    #[test]
    fn requests_and_their_answers() {
        let sync = SwitchoverView { synchronous: true, ..view() };
        let alone = SwitchoverView { candidates: Vec::new(), ..view() };
        let paused = SwitchoverView { paused: true, ..view() };
        let alone_sync = SwitchoverView { synchronous: true, ..alone.clone() };
        for (body, view, status, text) in [
            (r#"{"leader":"a"}"#, &view(), 0, "accepted"),
            (r#"{"leader":"a","candidate":"c"}"#, &view(), 0, "accepted"),
            (r#"{"leader":"a","member":"b"}"#, &sync, 0, "accepted"),
            (r#"{"leader":"a","candidate":"b"}"#, &paused, 0, "accepted"),
            (r#"{}"#, &view(), 400, "Switchover could be performed only from a specific leader"),
            (r#"{"leader":"a","candidate":"a"}"#, &view(), 400, "Switchover target and source are the same"),
            (r#"{"leader":"a"}"#, &paused, 400, "Switchover is possible only to a specific candidate in a paused state"),
            (r#"{"leader":"x"}"#, &view(), 412, "leader name does not match"),
            (r#"{"leader":"a","candidate":"x"}"#, &view(), 412, "candidate does not exists"),
            (r#"{"leader":"a","candidate":"c"}"#, &sync, 412, "candidate name does not match with sync_standby"),
            (r#"{"leader":"a","candidate":"d"}"#, &view(), 412, "switchover is not possible: no good candidates have been found"),
            (r#"{"leader":"a"}"#, &alone, 412, "switchover is not possible: cluster does not have members except leader"),
            (r#"{"leader":"a"}"#, &alone_sync, 412, "switchover is not possible: can not find sync_standby"),
        ] {
            assert_eq!(ask(Kind::Switchover, body, view), (status, text.to_owned()), "{body}");
        }
        let later = ask(Kind::Switchover, r#"{"leader":"a","scheduled_at":"2030-01-01T00:00:00+00:00"}"#, &view());
        assert_eq!(later.0, 400);
    }

    #[test]
    fn outcomes() {
        let done = |candidate: Option<&str>| Outcome::Done { leader: "b".into(), candidate: candidate.map(Into::into) };
        let said = |outcome: Outcome| outcome.answer(Kind::Switchover);
        assert_eq!(said(done(None)), (200, r#"Successfully switched over to "b""#.to_owned()));
        assert_eq!(said(done(Some("b"))), (200, r#"Successfully switched over to "b""#.to_owned()));
        assert_eq!(said(done(Some("c"))), (200, r#"Switched over to "b" instead of "c""#.to_owned()));
        assert_eq!(said(Outcome::Failed { why: None }), (503, "Switchover failed".to_owned()));
        assert_eq!(done(Some("b")).answer(Kind::Failover), (200, r#"Successfully failed over to "b""#.to_owned()));
        assert_eq!(
            Outcome::StatusUnknown { says: Some("following b".into()) }.answer(Kind::Failover),
            (503, "Failover status unknown: following b".to_owned())
        );
        assert_eq!(said(Outcome::NotWritten), (503, "failed to write failover key into DCS".to_owned()));
        let (code, text) = said(Outcome::WriteUnknown);
        assert!(code == 503 && text.starts_with("Switchover status unknown: the store did not say"), "{text}");
    }

    #[test]
    fn a_refusal_is_told_and_read() {
        let refused = RefusedSwitchover { why: "b does not stream".to_owned(), age: Duration::from_millis(1_500) };
        let mut own = Map::new();
        assert_eq!(RefusedSwitchover::told(&own), None);
        refused.tell(&mut own);
        assert_eq!(RefusedSwitchover::told(&own), Some(refused));
        own.insert("switchover_refused".into(), serde_json::json!({"why": "a\nb".repeat(300), "age_ms": 1}));
        let why = RefusedSwitchover::told(&own).unwrap().why;
        assert!(why.starts_with("abab") && why.len() == MAX_WHY, "{why}");
        own.insert("switchover_refused".into(), serde_json::json!({"why": "a", "age_ms": -1}));
        assert_eq!(RefusedSwitchover::told(&own), None);
    }
}
