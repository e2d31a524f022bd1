//! `POST /failsafe`: the question of a primary that does not reach the store, in Patroni's form with what a tanist adds.
//!
//! Patroni's part is `name`, `conn_url`, `api_url` and `slots`; it says who the primary is and nothing about which leadership. Ours is
//! the object `tanist`: for whom the question is meant, and under which epoch it is asked.

use crate::{DecodeError, fields::Fields, rest_text};
use serde_json::{Value, json};
use std::time::Duration;
use tanist_engine::{Epoch, MemberName, failsafe::Ask};

/// The question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailsafeRequest {
    /// The primary.
    pub name: MemberName,
    /// Its PostgreSQL.
    pub conn_url: Option<String>,
    /// Its REST API.
    pub api_url: Option<String>,
    /// What a tanist adds; nothing: a Patroni asks.
    pub own: Option<OwnQuestion>,
}

/// What a tanist adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnQuestion {
    /// The member that is asked. An address may lead to another one by now.
    pub to: MemberName,
    /// The cluster.
    pub scope: String,
    /// Its database system identifier.
    pub system_id: Option<String>,
    /// The question itself.
    pub ask: Ask,
}

impl FailsafeRequest {
    const KEY: &'static str = "/failsafe";
    /// Milliseconds; as in the lease record.
    const TTL: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;

    /// Reads the body of a request.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, body)?;
        let name = fields.name("name")?.ok_or_else(|| fields.missing("name"))?;
        let own = match fields.take("tanist") {
            None => None,
            Some(value) => Some(Self::own(&name, Fields::of(Self::KEY, value)?)?),
        };
        Ok(Self { conn_url: fields.text("conn_url")?, api_url: fields.text("api_url")?, name, own })
    }

    fn own(holder: &MemberName, mut fields: Fields) -> Result<OwnQuestion, DecodeError> {
        let number = |fields: &mut Fields, name: &str| fields.number(name)?.ok_or_else(|| fields.missing(name));
        let ttl = number(&mut fields, "ttl_ms")?;
        if !Self::TTL.contains(&ttl) {
            return Err(fields.wrong("ttl_ms", "1000 to 86400000"));
        }
        let epoch = number(&mut fields, "epoch")?;
        if epoch == 0 || epoch >= Epoch::LIMIT {
            return Err(fields.wrong("epoch", "an epoch"));
        }
        Ok(OwnQuestion {
            to: fields.name("to")?.ok_or_else(|| fields.missing("to"))?,
            scope: fields.text("scope")?.ok_or_else(|| fields.missing("scope"))?,
            system_id: fields.text("system_id")?,
            ask: Ask {
                holder: holder.clone(),
                epoch: Epoch(epoch),
                nonce: number(&mut fields, "nonce")?,
                ttl: Duration::from_millis(ttl),
                round: number(&mut fields, "round")?,
            },
        })
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self { name, conn_url, api_url, own } = self;
        let mut body = json!({"name": name.0, "conn_url": conn_url, "api_url": api_url, "slots": {}});
        if let (Some(OwnQuestion { to, scope, system_id, ask }), Value::Object(map)) = (own, &mut body) {
            let Ask { holder: _, epoch, nonce, ttl, round } = ask;
            let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            let own = json!({
                "to": to.0, "scope": scope, "system_id": system_id, "epoch": epoch.0, "nonce": nonce, "ttl_ms": ttl, "round": round,
            });
            map.insert("tanist".to_owned(), own);
        }
        rest_text(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> FailsafeRequest {
        let ask = Ask { holder: "a".into(), epoch: Epoch(7), nonce: u64::MAX, ttl: Duration::from_secs(5), round: 3 };
        FailsafeRequest {
            name: "a".into(),
            conn_url: Some("postgres://10.0.0.1:5432/postgres".into()),
            api_url: Some("http://10.0.0.1:8008/patroni".into()),
            own: Some(OwnQuestion { to: "b".into(), scope: "main".into(), system_id: Some("7000".into()), ask }),
        }
    }

    #[test]
    fn what_is_asked_is_read() {
        assert_eq!(FailsafeRequest::decode(question().encode().as_bytes()), Ok(question()));
    }

    #[test]
    fn a_patroni_is_understood() {
        let body =
            br#"{"name":"p","conn_url":"postgres://h:5432/postgres","api_url":"http://h:8008/patroni","slots":{"b":67108864}}"#;
        let read = FailsafeRequest::decode(body).unwrap();
        assert_eq!((read.name, read.own), ("p".into(), None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = question().encode();
        for (from, to) in [
            ("\"name\":\"a\"", "\"name\":\"\""),
            ("5000", "0"),
            ("5000", "86400001"),
            ("\"epoch\":7", "\"epoch\":0"),
            ("\"epoch\":7", "\"epoch\":9007199254740992"),
            ("\"to\":\"b\"", "\"to\":\"a/b\""),
            ("\"round\":3", "\"round\":-1"),
            ("}}", "}"),
        ] {
            let compact = good.replace(": ", ":").replace(", ", ",");
            let bad = compact.replace(from, to);
            assert_ne!(bad, compact, "{from}");
            assert!(FailsafeRequest::decode(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(FailsafeRequest::decode(b"[]").is_err());
        assert!(FailsafeRequest::decode(br#"{"name":"a","tanist":7}"#).is_err());
    }
}
