//! Whether this node's name is its own: asked once, before the store is shown to the engine.
//!
//! Two nodes of one name would overwrite each other's member key, and the copy's acknowledgements would count as the original's. The member
//! key tells them apart: a key with this node's own addresses is left from its own last run (whoever listens there now is us); one with
//! other addresses expires within its ttl, unless somebody keeps it alive. Until that is known nothing is written and nothing is started.

use super::clock;
use crate::config::Settings;
use std::time::Duration;
use tanist_dcs::Mirrored;
use tanist_engine::{Endpoint, Moment, Revision};
use tanist_patroni::dcs::MemberKey;

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

/// Where the node behind a member key is.
fn place(member: &MemberKey) -> String {
    member.api_url.clone().or_else(|| member.conn_url.clone()).unwrap_or_else(|| "an unknown address".into())
}

/// The same, from the key's value.
pub fn place_of(value: &[u8]) -> String {
    MemberKey::decode(value).map_or_else(|_| "an unknown address".into(), |member| place(&member))
}

fn is_own(place: &str, postgres: Option<&Endpoint>, api_url: &str, own: &Endpoint) -> bool {
    place == api_url && postgres.is_none_or(|postgres| postgres == own)
}

/// Tells values of this node's member key from those of another node of the same name. One that nobody can read may be replaced.
pub fn own_values(settings: &Settings) -> impl Fn(&[u8]) -> bool + Send + Sync + 'static {
    let (own, api_url) = (settings.postgres.connect.clone(), settings.rest.api_url());
    move |value| {
        let Ok(member) = MemberKey::decode(value) else { return true };
        let place = place(&member);
        let postgres = member.into_engine("".into()).ok().and_then(|member| member.postgres);
        is_own(&place, postgres.as_ref(), &api_url, &own)
    }
}

/// The question.
pub struct NameCheck {
    postgres: Endpoint,
    api_url: String,
    first: Option<(Moment, Revision)>,
    free: bool,
}

impl NameCheck {
    /// For the node of these settings.
    pub fn new(settings: &Settings) -> Self {
        Self { postgres: settings.postgres.connect.clone(), api_url: settings.rest.api_url(), first: None, free: false }
    }

    /// Looks at the member key of this name. Once free the name stays this node's.
    pub fn look(&mut self, key: Option<&Mirrored>, ttl: Duration) -> Verdict {
        let seen = key.map(|key| (key.kv.mod_revision, MemberKey::decode(&key.kv.value).ok()));
        self.judge(seen, ttl, clock::now())
    }

    fn judge(&mut self, key: Option<(Revision, Option<MemberKey>)>, ttl: Duration, now: Moment) -> Verdict {
        // A value that nobody can read says nothing about who wrote it.
        let Some((revision, Some(member))) = key.filter(|_| !self.free) else {
            self.free = true;
            return Verdict::Free;
        };
        let place = place(&member);
        let postgres = member.into_engine("".into()).ok().and_then(|member| member.postgres);
        if is_own(&place, postgres.as_ref(), &self.api_url, &self.postgres) {
            self.free = true;
            return Verdict::Free;
        }
        let (since, known) = *self.first.get_or_insert((now, revision));
        // A store that elects a new leader starts every expiry again: twice the ttl is the longest a dead node's key stays.
        if revision != known || now > since + ttl * 2 { Verdict::Taken(place) } else { Verdict::Waiting(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(5);

    fn check() -> NameCheck {
        let postgres = Endpoint { host: "10.0.0.1".into(), port: 5432 };
        NameCheck { postgres, api_url: "http://10.0.0.1:8008/patroni".into(), first: None, free: false }
    }

    fn member(host: &str) -> Option<MemberKey> {
        Some(MemberKey {
            conn_url: Some(format!("postgres://{host}:5432/postgres")),
            api_url: Some(format!("http://{host}:8008/patroni")),
            state: "running".into(),
            role: "replica".into(),
            ..MemberKey::default()
        })
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn no_key_or_the_own_one_is_free_and_stays_so() {
        let mut empty = check();
        assert_eq!(empty.judge(None, TTL, at(1)), Verdict::Free);
        assert_eq!(empty.judge(Some((Revision(9), member("10.0.0.2"))), TTL, at(2)), Verdict::Free);
        assert_eq!(check().judge(Some((Revision(1), member("10.0.0.1"))), TTL, at(1)), Verdict::Free);
    }

    #[test]
    fn a_dead_nodes_key_is_waited_for() {
        let mut check = check();
        let there = "http://10.0.0.2:8008/patroni".to_owned();
        for second in [1, 6, 11] {
            assert_eq!(check.judge(Some((Revision(1), member("10.0.0.2"))), TTL, at(second)), Verdict::Waiting(there.clone()));
        }
        assert_eq!(check.judge(None, TTL, at(12)), Verdict::Free);
    }

    #[test]
    fn a_key_that_moves_or_stays_is_somebody_elses() {
        let there = || Verdict::Taken("http://10.0.0.2:8008/patroni".to_owned());
        let mut moved = check();
        moved.judge(Some((Revision(1), member("10.0.0.2"))), TTL, at(1));
        assert_eq!(moved.judge(Some((Revision(2), member("10.0.0.2"))), TTL, at(2)), there());
        let mut kept = check();
        kept.judge(Some((Revision(1), member("10.0.0.2"))), TTL, at(1));
        assert_eq!(kept.judge(Some((Revision(1), member("10.0.0.2"))), TTL, at(12)), there());
    }
}
