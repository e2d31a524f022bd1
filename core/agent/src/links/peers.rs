//! The link to the other members' agents: `GET /patroni` of each, all at once, with a short limit.

use crate::run::{Fact, Facts, clock};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::time::Duration;
use tanist_engine::{Epoch, Member, MemberName, Peer, PeerAnswer, Position};
use tanist_patroni::{rest::NodeState, storage_from_word};

/// A peer that has not answered by then is mute for this race.
const LIMIT: Duration = Duration::from_millis(500);
/// Longer answers are not read.
const MAX_ANSWER: usize = 256 << 10;

/// The agent's end.
#[derive(Clone)]
pub struct PeersLink {
    me: MemberName,
    scope: String,
    client: Asker,
}

/// Asks agents; keeps no connection.
pub(crate) type Asker = Client<HttpConnector, Empty<Bytes>>;

/// One that connects so.
pub(crate) fn asker(connector: HttpConnector) -> Asker {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

/// `GET` of an agent's `/patroni`: what it says, of a bounded length, or nothing. The limit of time is the caller's.
pub(crate) async fn get(client: &Asker, url: &str) -> Option<Bytes> {
    let request = Request::get(url).header("connection", "close").body(Empty::new()).ok()?;
    let response = client.request(request).await.map_err(|error| tracing::debug!(%url, %error, "no answer")).ok()?;
    Some(Limited::new(response.into_body(), MAX_ANSWER).collect().await.ok()?.to_bytes())
}

impl PeersLink {
    /// For the node `me` of the cluster `scope`.
    pub fn new(me: MemberName, scope: String) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(LIMIT));
        Self { me, scope, client: asker(connector) }
    }

    /// Asks every member but this one. Each answer is told as it comes; a question counts from now.
    pub async fn ask(&self, members: &[Member], facts: &Facts) {
        let asked = clock::now();
        let others = members.iter().filter(|member| member.name != self.me);
        let questions: Vec<_> = others
            .filter_map(|member| member.api_url.clone().map(|url| (member.name.clone(), url)))
            .map(|(name, url)| {
                facts.tell(Fact::Peer(Peer { name: name.clone(), asked, answer: None }));
                let (link, facts) = (self.clone(), facts.clone());
                tokio::spawn(async move {
                    let answer = tokio::time::timeout(LIMIT, link.one(&name, &url)).await.ok().flatten();
                    facts.tell(Fact::Peer(Peer { name, asked, answer }));
                })
            })
            .collect();
        for question in questions {
            let _told_already = question.await;
        }
    }

    async fn one(&self, name: &MemberName, url: &str) -> Option<PeerAnswer> {
        let body = get(&self.client, url).await?;
        let state =
            NodeState::decode(&body).map_err(|error| tracing::warn!(%name, %error, "a peer's answer makes no sense")).ok()?;
        let NodeState { state, role, timeline, lsn, tags, name: said, scope, tanist } = state;
        if said.as_ref().is_some_and(|said| *said != name.0) || scope.as_ref().is_some_and(|scope| *scope != self.scope) {
            tracing::warn!(%name, ?said, ?scope, "another node answers at this member's address");
            return None;
        }
        // The opening epoch is filled in from the claims when the answer is looked at.
        let position = timeline.zip(lsn).map(|(timeline, lsn)| Position { opened_by: Epoch::NONE, timeline, lsn });
        let storage = storage_from_word(tanist.get("storage").and_then(|word| word.as_str()));
        let barred = tanist.get("barred").and_then(|word| word.as_bool()).unwrap_or(false);
        Some(PeerAnswer { state, role, position, tags, storage, barred })
    }
}
