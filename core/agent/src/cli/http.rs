//! One HTTP request to an agent, for commands.

use super::Failure;
use crate::config::Credentials;
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, body::Bytes, header};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use std::time::Duration;

/// A switchover may take this long to answer.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer answers are not read.
const MAX_ANSWER: usize = 8 << 20;

/// Status and body of the answer.
pub fn request(method: Method, url: &str, credentials: Option<&Credentials>, body: String) -> Result<(u16, String), Failure> {
    request_within(LIMIT, method, url, credentials, body)
}

/// The same, within a time.
pub fn request_within(
    limit: Duration,
    method: Method,
    url: &str,
    credentials: Option<&Credentials>,
    body: String,
) -> Result<(u16, String), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        let mut request = Request::builder().method(method).uri(url).header(header::CONTENT_TYPE, "application/json");
        if let Some(Credentials { username, password }) = credentials {
            let password = password.as_ref().map_or("", |secret| secret.expose());
            let token = STANDARD.encode(format!("{username}:{password}"));
            request = request.header(header::AUTHORIZATION, format!("Basic {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| Failure::failed(format!("{url}: {error}")))?;
        let exchange = async {
            let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
            let response = client.request(request).await.map_err(|error| format!("{url}: {error}"))?;
            let code = response.status().as_u16();
            let body =
                Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| format!("{url}: {error}"))?;
            Ok::<_, String>((code, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer.map_err(Failure::failed),
            Err(_) => Err(Failure::failed(format!("{url}: no answer within {} s", limit.as_secs()))),
        }
    })
}
