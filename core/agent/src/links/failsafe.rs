//! Failsafe mode: the questions to the other members' agents, all at once, and the file that a restarted agent finds.
//!
//! The file names everybody whom a lease record of this epoch and this guard's start may name. It is written before a record can name
//! somebody new, and made smaller only when the record that names fewer is known to have landed. Written off the lease's path: while
//! the disk hangs the names stay as they are. Deliberately absent: what may be asked, and what an answer means (`tanist_engine::failsafe`).

use crate::config::Credentials;
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tanist_dcs::lease::Keeper;
use tanist_engine::{Epoch, Failsafe, MemberName, Reading, failsafe::Round};
use tanist_patroni::rest::{FailsafeRequest, OwnQuestion};
use tanist_postgres::files;

/// In the state directory.
const FILE: &str = "failsafe.json";
/// A member that has not answered by then has not agreed, however long the lease is.
const LIMIT: Duration = Duration::from_secs(1);
/// Longer answers are not read.
const MAX_ANSWER: usize = 4 << 10;
/// So much of a refusal is shown.
const MAX_WHY: usize = 200;

/// What is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The epoch of the lease.
    pub epoch: u64,
    /// The start nonce of the guard.
    pub nonce: u64,
    /// The shortest ttl that such a record may say, milliseconds.
    pub ttl_ms: u64,
    /// Name and address.
    pub members: BTreeSet<(String, String)>,
}

/// What is asked, beside the round.
#[derive(Clone, Debug)]
pub struct Question {
    /// The cluster.
    pub scope: String,
    /// Its database system identifier.
    pub system_id: Option<String>,
    /// The own PostgreSQL, for a Patroni's eyes.
    pub conn_url: String,
    /// The own REST API.
    pub api_url: String,
}

/// The agent's end.
pub struct FailsafeLink {
    path: PathBuf,
    kept: Mutex<Option<Kept>>,
    client: Client<HttpConnector, Full<Bytes>>,
    authorization: Option<String>,
}

impl FailsafeLink {
    /// Reads what the agent before this one has left. A file that cannot be read is none: then nobody can be asked before the store
    /// answers.
    pub fn open(state_dir: &Path, credentials: Option<&Credentials>) -> Self {
        let path = state_dir.join(FILE);
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(LIMIT));
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let authorization = credentials.map(|credentials| {
            let password = credentials.password.as_ref().map_or("", |secret| secret.expose());
            format!("Basic {}", STANDARD.encode(format!("{}:{password}", credentials.username)))
        });
        Self { path, kept: Mutex::new(kept), client, authorization }
    }

    /// Everybody whom a record of this lease may name, and the shortest ttl it may say, if that was kept.
    pub fn kept_for(&self, epoch: Epoch, nonce: u64) -> Option<(BTreeSet<(MemberName, String)>, Duration)> {
        let kept = self.kept();
        let kept = kept.as_ref().filter(|kept| kept.epoch == epoch.0 && kept.nonce == nonce)?;
        let members = kept.members.iter().map(|(name, url)| (MemberName::from(name.as_str()), url.clone())).collect();
        Some((members, Duration::from_millis(kept.ttl_ms)))
    }

    /// Keeps this, durably; nothing: there is no such file any more. Waits for the disk.
    pub fn keep(&self, kept: Option<Kept>) -> io::Result<()> {
        if *self.kept() == kept {
            return Ok(());
        }
        match &kept {
            Some(kept) => files::write(&self.path, &serde_json::to_vec(kept)?, 0o600)?,
            None => files::remove(&self.path).and_then(|()| files::sync_parent(&self.path))?,
        }
        *self.kept() = kept;
        Ok(())
    }

    /// What the engine sees.
    pub fn seen(&self, keeper: &Keeper, now: Reading) -> Failsafe {
        let seen = keeper.failsafe(now);
        let Some((named, every)) = seen.named.as_ref().zip(keeper.named()) else { return seen };
        let ttl = keeper.recorded_ttl();
        let all: BTreeSet<_> = named.iter().map(|(name, url)| (name.clone(), url.clone())).chain(every).collect();
        let tidy =
            keeper.held_epoch().is_some_and(|(epoch, nonce)| self.kept_for(epoch, nonce).is_some_and(|kept| kept == (all, ttl)));
        Failsafe { tidy, ..seen }
    }

    /// Asks everybody. `Err`: the first who has not agreed, and why.
    pub async fn ask(&self, round: &Round, question: &Question) -> Result<(), (MemberName, String)> {
        let limit = LIMIT.min(round.ask.ttl / 5);
        let questions = round.voters.iter().map(|(name, url)| {
            let request = self.request(name, url, round, question);
            let client = self.client.clone();
            let answer = async move {
                let response = client.request(request?).await.map_err(|error| cause(&error))?;
                let status = response.status();
                let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
                let text: String = String::from_utf8_lossy(&body.to_bytes()).chars().take(MAX_WHY).collect();
                if status == StatusCode::OK { Ok(()) } else { Err(text) }
            };
            (name.clone(), tokio::spawn(tokio::time::timeout(limit, answer)))
        });
        // All are under way before the first is waited for.
        let questions: Vec<_> = questions.collect();
        let mut outcome = Ok(());
        for (name, task) in questions {
            let answer = match task.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err("no answer".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            outcome = outcome.and(answer.map_err(|why| (name, why)));
        }
        outcome
    }

    fn request(&self, to: &MemberName, url: &str, round: &Round, question: &Question) -> Result<Request<Full<Bytes>>, String> {
        let Question { scope, system_id, conn_url, api_url } = question.clone();
        let body = FailsafeRequest {
            name: round.ask.holder.clone(),
            conn_url: Some(conn_url),
            api_url: Some(api_url),
            own: Some(OwnQuestion { to: to.clone(), scope, system_id, ask: round.ask.clone() }),
        };
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(hyper::http::uri::PathAndQuery::from_static("/failsafe"));
        let uri = Uri::from_parts(parts).map_err(|error| format!("{url}: {error}"))?;
        let mut request = Request::post(uri).header(header::CONNECTION, "close").header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.body(Full::new(Bytes::from(body.encode()))).map_err(|error| error.to_string())
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The innermost cause says what happened.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_of_this_lease_counts() {
        let dir = tempfile::tempdir().unwrap();
        let link = FailsafeLink::open(dir.path(), None);
        assert_eq!(link.kept_for(Epoch(7), 1), None);
        let members: BTreeSet<_> = [("b".to_owned(), "http://b".to_owned())].into();
        link.keep(Some(Kept { epoch: 7, nonce: 1, ttl_ms: 5_000, members })).unwrap();
        let next = FailsafeLink::open(dir.path(), None);
        assert_eq!(next.kept_for(Epoch(7), 1), Some(([("b".into(), "http://b".to_owned())].into(), Duration::from_secs(5))));
        assert_eq!((next.kept_for(Epoch(8), 1), next.kept_for(Epoch(7), 2)), (None, None));
        next.keep(None).unwrap();
        next.keep(None).unwrap();
        assert_eq!(FailsafeLink::open(dir.path(), None).kept_for(Epoch(7), 1), None);
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(FailsafeLink::open(dir.path(), None).kept_for(Epoch(7), 1), None);
    }
}
