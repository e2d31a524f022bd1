//! `POST /restart`: what may be asked for and on which conditions. Words and codes are Patroni's.

use crate::{DecodeError, fields::Fields};
use serde_json::Value;
use std::time::Duration;
use tanist_engine::Role;

/// The body of the request; all of it may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartRequest {
    /// Only a server of this role.
    pub role: Option<RestartRole>,
    /// Only a server older than this, as `server_version_num`.
    pub older_than: Option<u32>,
    /// Only where a setting waits for it.
    pub pending: bool,
    /// How long PostgreSQL may take to come up.
    pub timeout: Option<Duration>,
    /// When; `None`: now.
    pub schedule: Option<String>,
}

/// The roles that a request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartRole {
    /// The primary.
    Primary,
    /// A replica.
    Replica,
    /// The leader of a standby cluster, which no server is here.
    StandbyLeader,
}

impl RestartRole {
    fn is(self, role: Role) -> bool {
        match self {
            Self::Primary => role == Role::Primary,
            Self::Replica => role == Role::Replica,
            Self::StandbyLeader => false,
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// A value.
    #[error(transparent)]
    Value(#[from] DecodeError),
    /// A condition that nobody checks: to restart without it is not what was asked for. The first words are Patroni's.
    #[error(
        "Unknown filter for the scheduled restart: {0}; there are schedule, role, postgres_version, timeout and restart_pending"
    )]
    Unknown(String),
}

/// What a request is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartView {
    /// The server's role.
    pub role: Role,
    /// Its version.
    pub version: u32,
    /// A setting waits for a restart.
    pub pending: bool,
}

impl RestartRequest {
    const KEY: &'static str = "/restart";

    /// Reads the body.
    pub fn decode(bytes: &[u8]) -> Result<Self, RestartError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let role = match fields.text("role")?.as_deref() {
            None => None,
            Some("primary" | "master") => Some(RestartRole::Primary),
            Some("replica") => Some(RestartRole::Replica),
            Some("standby_leader") => Some(RestartRole::StandbyLeader),
            Some(_) => return Err(fields.wrong("role", "primary, standby_leader or replica").into()),
        };
        let older_than = match fields.text("postgres_version")? {
            None => None,
            Some(text) => Some(version(&text).ok_or_else(|| fields.wrong("postgres_version", "a version such as 15.4"))?),
        };
        let timeout = match fields.take("timeout") {
            None => None,
            Some(value) => {
                Some(span(&value).ok_or_else(|| fields.wrong("timeout", "a positive number of seconds, or such as 1min"))?)
            }
        };
        let pending = fields.flag("restart_pending")?.unwrap_or(false);
        let schedule = fields.text("schedule")?.filter(|text| !text.is_empty());
        match fields.rest().into_iter().next() {
            Some(unknown) => Err(RestartError::Unknown(unknown)),
            None => Ok(Self { role, older_than, pending, timeout, schedule }),
        }
    }

    /// Whether the conditions hold.
    pub fn applies(&self, view: &RestartView) -> bool {
        let Self { role, older_than, pending, timeout: _, schedule: _ } = self;
        role.is_none_or(|role| role.is(view.role))
            && older_than.is_none_or(|version| view.version < version)
            && (!pending || view.pending)
    }
}

/// `15.4` is 150004; a number alone is a major version.
fn version(text: &str) -> Option<u32> {
    let (major, minor) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    (major < 1_000 && minor < 10_000).then(|| major * 10_000 + minor)
}

/// Whole seconds, at least one: a number, or a text with one of PostgreSQL's units of time behind it.
fn span(value: &Value) -> Option<Duration> {
    const LONGEST: f64 = 86_400.0;
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = (number.parse::<f64>().ok()? * unit).round().min(LONGEST);
    (seconds >= 1.0).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let view = RestartView { role: Role::Replica, version: 150_018, pending: false };
        for (body, applies) in [
            ("", true),
            ("{}", true),
            (r#"{"role":"replica","postgres_version":"15.19"}"#, true),
            (r#"{"role":"primary"}"#, false),
            (r#"{"postgres_version":"15.18"}"#, false),
            (r#"{"restart_pending":true}"#, false),
            (r#"{"restart_pending":false,"timeout":5}"#, true),
            (r#"{"role":"standby_leader"}"#, false),
        ] {
            assert_eq!(RestartRequest::decode(body.as_bytes()).unwrap().applies(&view), applies, "{body}");
        }
        assert!(RestartRequest::decode(br#"{"restart_pending":true}"#).unwrap().applies(&RestartView { pending: true, ..view }));
        for (body, words) in [
            (r#"{"role":"chief"}"#, "/restart: role must be primary, standby_leader or replica"),
            (r#"{"role":""}"#, "/restart: role must be"),
            (r#"{"timeout":0}"#, "/restart: timeout must be a positive number of seconds"),
            (r#"{"postgres_version":"x"}"#, "/restart: postgres_version must be"),
            (r#"{"pending":true}"#, "Unknown filter for the scheduled restart: pending; "),
            (r#"{"roles":"replica"}"#, "Unknown filter for the scheduled restart: roles; "),
            ("[]", "/restart: must be a JSON object"),
        ] {
            let said = RestartRequest::decode(body.as_bytes()).unwrap_err().to_string();
            assert!(said.starts_with(words), "{body}: {said}");
        }
    }

    #[test]
    fn times_have_units() {
        let read = |value: &str| {
            let body = format!(r#"{{"timeout":{value}}}"#);
            RestartRequest::decode(body.as_bytes()).ok().and_then(|request| request.timeout).map(|timeout| timeout.as_secs())
        };
        for (value, seconds) in [
            ("5", 5),
            ("1.5", 2),
            (r#""5""#, 5),
            (r#""1min""#, 60),
            (r#"" 1500 ms ""#, 2),
            (r#""1h""#, 3_600),
            (r#""1d""#, 86_400),
            (r#""7d""#, 86_400),
        ] {
            assert_eq!(read(value), Some(seconds), "{value}");
        }
        for bad in ["0", "-1", "true", "[]", r#""""#, r#""1 parsec""#, r#""400ms""#, r#""min""#, r#""1.2.3""#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
