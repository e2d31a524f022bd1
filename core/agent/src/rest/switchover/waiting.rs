//! What stands in `/failover` before a request is written there.

use super::super::{Api, store};
use tanist_dcs::{Compare, KeyValue};
use tanist_patroni::{
    dcs::FailoverKey,
    rest::{Kind, Outcome},
};

/// What has to be so still when a request is written to this key; where another one waits, the answer that says which.
pub(super) async fn place(api: &Api, key: &str, kind: Kind) -> Result<Compare, (u16, String)> {
    match store::read(api, key.to_owned()).await {
        Ok(present) => free(key, present.as_ref()).map_err(|waiting| refusal(&waiting, kind)),
        Err(error) => {
            tracing::error!(%error, "the request could not be written: the key could not be read");
            Err(Outcome::NotWritten.answer(kind))
        }
    }
}

/// Patroni leaves `{}` behind where tanist deletes the key: that is written over, if it is still the same.
fn free(key: &str, present: Option<&KeyValue>) -> Result<Compare, FailoverKey> {
    let Some(present) = present else { return Ok(Compare::Absent(key.to_owned())) };
    match FailoverKey::waiting(&present.value) {
        Some(waiting) => Err(waiting),
        None => Ok(Compare::ModRevision(key.to_owned(), present.mod_revision)),
    }
}

fn refusal(waiting: &FailoverKey, kind: Kind) -> (u16, String) {
    let (code, text) = Outcome::NotWritten.answer(kind);
    let remedy = match waiting.scheduled_at {
        Some(_) => "DELETE /switchover (patronictl flush switchover) takes it back",
        None => "ask again when it is done",
    };
    (code, format!("{text}: {waiting} waits there; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::Revision;

    fn asked(value: &str) -> Result<Compare, (u16, String)> {
        let revision = Revision(9);
        let present = KeyValue {
            key: "failover".into(),
            value: value.into(),
            create_revision: Revision(3),
            mod_revision: revision,
            expiry: None,
        };
        free("failover", Some(&present)).map_err(|waiting| refusal(&waiting, Kind::Switchover))
    }

    #[test]
    fn what_asks_for_nothing_is_written_over_and_a_request_is_named() {
        assert_eq!(free("failover", None), Ok(Compare::Absent("failover".into())));
        for nothing in ["{}", r#"{"leader":"","member":""}"#, "nonsense"] {
            assert_eq!(asked(nothing), Ok(Compare::ModRevision("failover".into(), Revision(9))), "{nothing}");
        }
        let said =
            "failed to write failover key into DCS: a switchover from \"a\" to \"b\" waits there; ask again when it is done";
        assert_eq!(asked(r#"{"leader":"a","member":"b"}"#), Err((503, said.to_owned())));
        let (code, text) = asked(r#"{"leader":"a","scheduled_at":"2030-01-01T00:00:00+00:00"}"#).unwrap_err();
        assert!(
            code == 503 && text.contains("scheduled for 2030-01-01T00:00:00+00:00 waits there; DELETE /switchover"),
            "{text}"
        );
    }
}
