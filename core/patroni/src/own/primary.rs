//! `tanist/primary`: the endpoint that was proved writable. Never deleted; a reader believes it only while the lease record has the
//! same holder and epoch.

use crate::{DecodeError, dcs_text, fields::Fields};
use serde::Serialize;
use tanist_engine::{Endpoint, Face};

/// The key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryKey {
    /// Who, where, at which epoch and timeline.
    pub face: Face,
    /// When it was proved, in ISO 8601, for people.
    pub since: String,
}

#[derive(Serialize)]
struct Json<'a> {
    epoch: u64,
    name: &'a str,
    host: &'a str,
    port: u16,
    timeline: u32,
    since: &'a str,
}

impl PrimaryKey {
    const KEY: &'static str = "tanist/primary";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let epoch = fields.epoch("epoch")?;
        let name = fields.name("name")?.ok_or_else(|| fields.missing("name"))?;
        let host = fields.text("host")?.filter(|host| !host.is_empty()).ok_or_else(|| fields.missing("host"))?;
        let port = fields.number("port")?.ok_or_else(|| fields.missing("port"))?;
        let port = u16::try_from(port).ok().filter(|port| *port != 0).ok_or_else(|| fields.wrong("port", "a TCP port"))?;
        let timeline = fields.timeline("timeline")?.ok_or_else(|| fields.missing("timeline"))?;
        let since = fields.text("since")?.unwrap_or_default();
        Ok(Self { face: Face { epoch, name, endpoint: Endpoint { host, port }, timeline }, since })
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self { face: Face { epoch, name, endpoint: Endpoint { host, port }, timeline }, since } = self;
        dcs_text(&Json { epoch: epoch.0, name: &name.0, host, port: *port, timeline: timeline.0, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::{Epoch, Timeline};

    #[test]
    fn there_and_back() {
        let text = r#"{"epoch":9,"name":"a","host":"10.0.0.1","port":5432,"timeline":2,"since":"2026-11-21T04:00:00Z"}"#;
        let key = PrimaryKey::decode(text.as_bytes()).unwrap();
        assert_eq!(key.encode(), text);
        assert_eq!((key.face.epoch, key.face.timeline), (Epoch(9), Timeline(2)));
    }

    #[test]
    fn nothing_is_made_up() {
        for (text, message) in [
            (r#"{"name":"a","host":"h","port":1,"timeline":1}"#, "tanist/primary: epoch is missing"),
            (r#"{"epoch":9007199254740992}"#, "tanist/primary: epoch must be an epoch (below 2^53)"),
            (r#"{"epoch":1,"host":"h","port":1,"timeline":1}"#, "tanist/primary: name is missing"),
            (r#"{"epoch":1,"name":"a","host":"h","port":70000,"timeline":1}"#, "tanist/primary: port must be a TCP port"),
        ] {
            assert_eq!(PrimaryKey::decode(text.as_bytes()).unwrap_err().to_string(), message);
        }
    }
}
