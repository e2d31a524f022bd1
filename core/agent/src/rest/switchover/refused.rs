//! Why the leader refused a request: its agent says so in its `/patroni`. The store keeps no reasons.

use super::{super::Api, following::Asked};
use crate::{links::peers, run::clock};
use hyper_util::client::legacy::connect::HttpConnector;
use std::time::Duration;
use tanist_patroni::rest::{NodeState, RefusedSwitchover};

/// Without the leader's answer by then, the reason is left out.
const LIMIT: Duration = Duration::from_secs(1);

/// Asks the agent of the leader that was asked to hand over. Nothing where it is this node, or does not say.
pub(super) async fn ask_leader(api: &Api, asked: &Asked) -> Option<String> {
    let status = api.status.get()?;
    let old = asked.old.as_ref().filter(|old| **old != status.seen.me)?;
    let leader = status.seen.store.members.iter().find(|member| member.name == *old)?;
    let said = tokio::time::timeout(LIMIT, said(leader.api_url.as_deref()?)).await.ok()??;
    let ours =
        said.name.as_ref().is_some_and(|name| *name == old.0) && said.scope.as_ref() == Some(&api.tools.settings.cluster.scope);
    ours.then(|| meant(&said, clock::now().since(asked.at))).flatten()
}

/// What an agent says of its node.
async fn said(url: &str) -> Option<NodeState> {
    let body = peers::get(&peers::asker(HttpConnector::new()), url).await?;
    NodeState::decode(&body).ok()
}

/// The reason, if the refusal is not older than the request: two spans of time, because clocks of two machines do not compare.
fn meant(said: &NodeState, since_asked: Duration) -> Option<String> {
    RefusedSwitchover::told(&said.tanist).filter(|refused| refused.age <= since_asked).map(|refused| refused.why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_patroni::rest::NodeBody;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// An agent that answers one request; where.
    async fn agent(body: String) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/patroni", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _head = stream.read(&mut [0; 4096]).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        });
        url
    }

    #[tokio::test]
    async fn a_leader_says_why_it_refused_what_was_asked_since() {
        let mut body = NodeBody::new("main", "a", "running", "primary");
        let silent = said(&agent(body.encode()).await).await.unwrap();
        assert_eq!(meant(&silent, Duration::from_secs(9)), None);
        let age = Duration::from_secs(3);
        RefusedSwitchover { why: "there is no healthy candidate".to_owned(), age }.tell(&mut body.tanist);
        let told = said(&agent(body.encode()).await).await.unwrap();
        assert_eq!((told.name.as_deref(), told.scope.as_deref()), (Some("a"), Some("main")));
        assert_eq!(meant(&told, age).as_deref(), Some("there is no healthy candidate"));
        assert_eq!(meant(&told, age - Duration::from_millis(1)), None, "that was another request");
        assert_eq!(said(&agent("{}".to_owned()).await).await, None);
    }
}
