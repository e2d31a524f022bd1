//! Whether this node's name is its own: asked once, before the store is shown to the engine.
//!
//! Two nodes of one name would overwrite each other's member key, and the copy's acknowledgements would count as the original's. The member
//! key tells them apart: a key with this node's own addresses is left from its own last run (whoever listens there now is us); one with
//! other addresses expires within its ttl, unless somebody keeps it alive. Until that is known nothing is written and nothing is started.
//! What other hands have put there (a value without addresses, or a key that hangs on no expiry) is nobody's, and written over.

use super::clock;
use crate::config::Settings;
use std::time::Duration;
use tanist_dcs::{Compare, KeyValue, Mirrored, Op, Store, StoreError, Txn};
use tanist_engine::{Endpoint, Moment, Revision};
use tanist_patroni::dcs::{MemberKey, endpoint_of};

/// What is known of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody else has it.
    Free,
    /// Another node had it a moment ago; where.
    Waiting(String),
    /// Another node has it; where.
    Taken(String),
}

/// Where the node behind a member key's value is.
pub fn place_of(value: &[u8]) -> String {
    let said = MemberKey::decode(value).ok().and_then(|member| member.api_url.or(member.conn_url));
    said.unwrap_or_else(|| "an unknown address".to_owned())
}

/// Where this node is, by what its member key says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Own {
    postgres: Endpoint,
    api_url: String,
}

impl Own {
    fn new(settings: &Settings) -> Self {
        Self { postgres: settings.postgres.connect.clone(), api_url: settings.rest.api_url() }
    }

    /// What a value says about who wrote it.
    fn author(&self, value: &[u8]) -> Author {
        let Ok(MemberKey { api_url, conn_url, .. }) = MemberKey::decode(value) else { return Author::Nobody };
        let api_url = api_url.filter(|url| !url.is_empty());
        let postgres = conn_url.as_deref().and_then(endpoint_of);
        match (api_url, conn_url, postgres) {
            (Some(api_url), ..) if api_url != self.api_url => Author::Other(api_url),
            (_, Some(conn_url), Some(postgres)) if postgres != self.postgres => Author::Other(conn_url),
            (None, _, None) => Author::Nobody,
            _ => Author::Me,
        }
    }

    /// The place of the twin that may be behind a key. A node's own key hangs on an expiry, so one that does not was put there by hand.
    fn twin(&self, kv: &KeyValue) -> Option<String> {
        match self.author(&kv.value) {
            Author::Other(place) if kv.expiry.is_some() => Some(place),
            Author::Other(_) | Author::Me | Author::Nobody => None,
        }
    }
}

/// Who wrote a value of the member key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Author {
    Me,
    /// It names another place.
    Other(String),
    /// Nobody can read it, or it names no place: no node writes such a value.
    Nobody,
}

/// Tells values of this node's member key from those of another node of the same name. One that is nobody's may be replaced.
pub fn own_values(settings: &Settings) -> impl Fn(&[u8]) -> bool + Send + Sync + 'static {
    let own = Own::new(settings);
    move |value| !matches!(own.author(value), Author::Other(_))
}

/// Deletes this name's member key if it hangs on no expiry, which no node's own does. `false`: it does, so a node keeps it alive.
pub async fn delete_by_hand(store: &dyn Store, key: String, timeout: Duration) -> Result<bool, StoreError> {
    let Some(seen) = store.get(&key, timeout).await? else { return Ok(true) };
    if seen.expiry.is_some() {
        return Ok(false);
    }
    tracing::warn!(key, value = %String::from_utf8_lossy(&seen.value), "deleted: no node has put it there, it hangs on no expiry");
    let compares = vec![Compare::ModRevision(key.clone(), seen.mod_revision)];
    // Changed meanwhile: whoever puts the next value looks again.
    store.txn(Txn { compares, then: vec![Op::Delete(key)], otherwise: Vec::new() }, timeout).await.map(|_| true)
}

/// The question.
pub struct NameCheck {
    own: Own,
    first: Option<(Moment, Revision)>,
    free: bool,
    /// The revision of this node's key that was last found to be written by other hands.
    overwritten: Option<Revision>,
}

impl NameCheck {
    /// For the node of these settings.
    pub fn new(settings: &Settings) -> Self {
        Self { own: Own::new(settings), first: None, free: false, overwritten: None }
    }

    /// Looks at the member key of this name. Once free the name stays this node's.
    pub fn look(&mut self, key: Option<&Mirrored>, ttl: Duration) -> Verdict {
        self.judge(key.map(|key| &key.kv), ttl, clock::now())
    }

    /// Whether other hands have put a value into the key of this node, whose name is free. Said once of each value.
    pub fn is_overwritten(&mut self, key: Option<&Mirrored>) -> bool {
        self.is_strange(key.map(|key| &key.kv))
    }

    fn is_strange(&mut self, key: Option<&KeyValue>) -> bool {
        let strange = key.filter(|kv| kv.expiry.is_none() || self.own.author(&kv.value) != Author::Me);
        let revision = strange.map(|kv| kv.mod_revision);
        let new = revision.is_some() && revision != self.overwritten;
        self.overwritten = revision;
        new
    }

    fn judge(&mut self, key: Option<&KeyValue>, ttl: Duration, now: Moment) -> Verdict {
        let twin = key.filter(|_| !self.free).and_then(|kv| Some((kv.mod_revision, self.own.twin(kv)?)));
        let Some((revision, place)) = twin else {
            self.free = true;
            return Verdict::Free;
        };
        let (since, known) = *self.first.get_or_insert((now, revision));
        // A store that elects a new leader starts every expiry again: twice the ttl is the longest a dead node's key stays.
        if revision != known || now > since + ttl * 2 { Verdict::Taken(place) } else { Verdict::Waiting(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_dcs::ExpiryId;

    const TTL: Duration = Duration::from_secs(5);

    fn check() -> NameCheck {
        let postgres = Endpoint { host: "10.0.0.1".into(), port: 5432 };
        let own = Own { postgres, api_url: "http://10.0.0.1:8008/patroni".into() };
        NameCheck { own, first: None, free: false, overwritten: None }
    }

    fn key(value: impl Into<Vec<u8>>, revision: u64, expiry: Option<i64>) -> KeyValue {
        let revision = Revision(revision);
        let expiry = expiry.map(ExpiryId);
        KeyValue { key: "members/a".into(), value: value.into(), create_revision: revision, mod_revision: revision, expiry }
    }

    fn value(host: &str) -> String {
        let member = MemberKey {
            conn_url: Some(format!("postgres://{host}:5432/postgres")),
            api_url: Some(format!("http://{host}:8008/patroni")),
            state: "running".into(),
            role: "replica".into(),
            ..MemberKey::default()
        };
        member.encode()
    }

    fn member(host: &str, revision: u64) -> KeyValue {
        key(value(host), revision, Some(1))
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn no_key_or_the_own_one_is_free_and_stays_so() {
        let mut empty = check();
        assert_eq!(empty.judge(None, TTL, at(1)), Verdict::Free);
        assert_eq!(empty.judge(Some(&member("10.0.0.2", 9)), TTL, at(2)), Verdict::Free);
        assert_eq!(check().judge(Some(&member("10.0.0.1", 1)), TTL, at(1)), Verdict::Free);
    }

    #[test]
    fn a_dead_nodes_key_is_waited_for() {
        let mut check = check();
        let there = "http://10.0.0.2:8008/patroni".to_owned();
        for second in [1, 6, 11] {
            assert_eq!(check.judge(Some(&member("10.0.0.2", 1)), TTL, at(second)), Verdict::Waiting(there.clone()));
        }
        assert_eq!(check.judge(None, TTL, at(12)), Verdict::Free);
    }

    #[test]
    fn a_key_that_moves_or_stays_is_somebody_elses() {
        let there = || Verdict::Taken("http://10.0.0.2:8008/patroni".to_owned());
        let mut moved = check();
        moved.judge(Some(&member("10.0.0.2", 1)), TTL, at(1));
        assert_eq!(moved.judge(Some(&member("10.0.0.2", 2)), TTL, at(2)), there());
        let mut kept = check();
        kept.judge(Some(&member("10.0.0.2", 1)), TTL, at(1));
        assert_eq!(kept.judge(Some(&member("10.0.0.2", 1)), TTL, at(12)), there());
    }

    /// An operator's hand or a script: it must not end the node, and not keep it from starting.
    #[test]
    fn a_value_without_the_place_of_another_node_is_nobodys() {
        let own = check().own;
        for nobodys in ["", "{", "{}", r#"{"state":"running","role":"replica"}"#, r#"{"api_url":"","conn_url":"x"}"#] {
            assert_eq!(own.author(nobodys.as_bytes()), Author::Nobody, "{nobodys}");
            assert_eq!(check().judge(Some(&key(nobodys, 1, None)), TTL, at(1)), Verdict::Free, "{nobodys}");
            assert_eq!(check().judge(Some(&key(nobodys, 1, Some(1))), TTL, at(1)), Verdict::Free, "{nobodys}");
        }
        for (mine, author) in [
            (value("10.0.0.1"), Author::Me),
            (r#"{"conn_url":"postgres://10.0.0.1:5432/postgres"}"#.into(), Author::Me),
            (r#"{"api_url":"http://10.0.0.1:8008/patroni","role":"chief"}"#.into(), Author::Me),
            (r#"{"conn_url":"postgres://10.0.0.2:5432/x"}"#.into(), Author::Other("postgres://10.0.0.2:5432/x".into())),
            (r#"{"api_url":"http://b/"}"#.into(), Author::Other("http://b/".into())),
        ] {
            assert_eq!(own.author(mine.as_bytes()), author, "{mine}");
        }
    }

    #[test]
    fn a_key_that_hangs_on_no_expiry_is_no_twins() {
        let by_hand = key(value("10.0.0.2"), 1, None);
        assert_eq!(check().judge(Some(&by_hand), TTL, at(1)), Verdict::Free);
    }

    #[test]
    fn other_hands_are_noticed_once_for_each_value() {
        let mut check = check();
        assert!(!check.is_strange(None) && !check.is_strange(Some(&member("10.0.0.1", 1))));
        assert!(check.is_strange(Some(&key("{}", 2, None))) && !check.is_strange(Some(&key("{}", 2, None))));
        assert!(check.is_strange(Some(&key(value("10.0.0.1"), 3, None))), "without expiry it would outlive the node");
        assert!(!check.is_strange(Some(&member("10.0.0.1", 4))));
        assert!(check.is_strange(Some(&member("10.0.0.2", 5))), "a twin: the next write of the key meets it");
    }

    #[tokio::test]
    async fn only_a_key_that_no_node_keeps_alive_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("store");
        let server = tanist_dcs::local::Server::bind(&socket, None).unwrap();
        tokio::spawn(server.run(std::future::pending()));
        let store = tanist_dcs::local::LocalStore::new(&socket);
        let (key, limit) = ("/service/e2e/members/a".to_owned(), Duration::from_secs(3));
        let expiry = store.grant(TTL, limit).await.unwrap();
        for (expiry, deleted) in [(Some(expiry), false), (None, true)] {
            let put = Op::Put { key: key.clone(), value: value("10.0.0.2").into(), expiry };
            store.txn(Txn { then: vec![put], ..Txn::default() }, limit).await.unwrap();
            assert_eq!(delete_by_hand(&store, key.clone(), limit).await, Ok(deleted));
            assert_eq!(store.get(&key, limit).await.unwrap().is_none(), deleted);
        }
        assert_eq!(delete_by_hand(&store, key, limit).await, Ok(true), "there is none");
    }
}
