//! Requests to the nodes' REST APIs.

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};

/// Longer answers are not read.
const MAX_ANSWER: usize = 1 << 20;

/// Asks.
#[derive(Clone, Debug)]
pub struct Http(Client<HttpConnector, Full<Bytes>>);

impl Http {
    /// Keeps no connections: a node that is gone must not be remembered as one that answers.
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http())
    }

    /// The JSON that a path answers with, whatever its code.
    pub async fn get(&self, at: SocketAddr, path: &str) -> Option<Value> {
        let (_, body) = self.exchange(Method::GET, at, path, String::new(), Duration::from_secs(1)).await.ok()?;
        serde_json::from_str(&body).ok()
    }

    /// Code and text of the answer.
    pub async fn post(&self, at: SocketAddr, path: &str, body: String, limit: Duration) -> Result<(u16, String), String> {
        self.exchange(Method::POST, at, path, body, limit).await
    }

    async fn exchange(
        &self,
        method: Method,
        at: SocketAddr,
        path: &str,
        body: String,
        limit: Duration,
    ) -> Result<(u16, String), String> {
        let request = Request::builder().method(method).uri(format!("http://{at}{path}")).header("connection", "close");
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|error| error.to_string())?;
            let code = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
            Ok((code, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        tokio::time::timeout(limit, exchange).await.map_err(|_| format!("no answer within {limit:?}"))?
    }
}
