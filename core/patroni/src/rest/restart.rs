//! `POST /restart`: what may be asked for and on which conditions. Words and codes are Patroni's.

use crate::{DecodeError, fields::Fields};
use std::time::Duration;
use tanist_engine::Role;

/// The body of the request; all of it may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartRequest {
    /// Only a server of this role.
    pub role: Option<Role>,
    /// Only a server older than this, as `server_version_num`.
    pub older_than: Option<u32>,
    /// Only where a setting waits for it.
    pub pending: bool,
    /// How long PostgreSQL may take to come up.
    pub timeout: Option<Duration>,
    /// When; `None`: now.
    pub schedule: Option<String>,
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
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let role = match fields.text("role")?.as_deref() {
            None | Some("") => None,
            Some("primary" | "master") => Some(Role::Primary),
            Some("replica") => Some(Role::Replica),
            Some(_) => return Err(fields.wrong("role", "primary or replica")),
        };
        let older_than = match fields.text("postgres_version")? {
            None => None,
            Some(text) => Some(version(&text).ok_or_else(|| fields.wrong("postgres_version", "a version such as 15.4"))?),
        };
        let timeout = match fields.number("timeout")? {
            Some(0) => return Err(fields.wrong("timeout", "a positive number of seconds")),
            seconds => seconds.map(|seconds| Duration::from_secs(seconds.min(86_400))),
        };
        let pending = fields.flag("restart_pending")?.unwrap_or(false);
        let schedule = fields.text("schedule")?.filter(|text| !text.is_empty());
        Ok(Self { role, older_than, pending, timeout, schedule })
    }

    /// Whether the conditions hold.
    pub fn applies(&self, view: &RestartView) -> bool {
        let Self { role, older_than, pending, timeout: _, schedule: _ } = self;
        role.is_none_or(|role| role == view.role)
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
        ] {
            assert_eq!(RestartRequest::decode(body.as_bytes()).unwrap().applies(&view), applies, "{body}");
        }
        assert!(RestartRequest::decode(br#"{"restart_pending":true}"#).unwrap().applies(&RestartView { pending: true, ..view }));
        for (body, field) in [
            (r#"{"role":"chief"}"#, "role"),
            (r#"{"timeout":0}"#, "timeout"),
            (r#"{"postgres_version":"x"}"#, "postgres_version"),
        ] {
            assert_eq!(RestartRequest::decode(body.as_bytes()).unwrap_err().field(), field);
        }
    }
}
