//! One request on one connection.
//!
//! Until the connection stands, a failure means that nothing was sent; from then on it means that nobody knows.

use crate::{Access, is_reserved};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1, header, http};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

/// Longest head of an answer.
const MAX_HEAD: usize = 32 << 10;
/// Headers of an answer.
const MAX_HEADERS: usize = 64;
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A request that may be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Name or numeric address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The header `host`.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Headers, beside those of the access.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The only addresses that may be connected to; empty: any that is not reserved. A host that is a numeric address names itself.
    pub addresses: Vec<IpAddr>,
    /// Longest body of the answer.
    pub most: usize,
}

/// The answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers, names in small letters; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not sent: it may not be.
    #[error("{0}")]
    Refused(String),
    /// Not sent: no connection.
    #[error("{0}")]
    Unreachable(String),
    /// Sent, as far as anybody knows, and no whole answer came.
    #[error("{0}")]
    Unknown(String),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends a request and reads the whole answer, within `within`.
pub async fn send(request: Request, access: &Access, within: Duration) -> Result<Answer, Failure> {
    let deadline = Instant::now() + within;
    let message = message(&request, access)?;
    let stream = connect(&request, deadline).await?;
    let stream: Box<dyn Stream> = match access.tls() {
        None => Box::new(stream),
        Some(config) => {
            let name = ServerName::try_from(request.host.clone());
            let name = name.map_err(|error| Failure::Refused(format!("{}: {error}", request.host)))?;
            let shaken = timeout_at(deadline, TlsConnector::from(config).connect(name, stream)).await;
            Box::new(before("TLS", shaken)?)
        }
    };
    let (mut sender, connection) = before("HTTP", timeout_at(deadline, builder().handshake(TokioIo::new(stream))).await)?;
    // Dropped with this function, and the connection with it.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let most = request.most;
    let exchange = async move {
        let response = sender.send_request(message).await.map_err(|error| Failure::Unknown(explain(&error)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|error| Failure::Unknown(format!("status {}, and then: {error}", head.status)))?;
        Ok(Answer { status: head.status.as_u16(), headers: texts(&head.headers), body: body.to_bytes().to_vec() })
    };
    match timeout_at(deadline, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::Unknown(format!("no whole answer within {} ms", within.as_millis()))),
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    builder
}

fn message(request: &Request, access: &Access) -> Result<http::Request<Full<Bytes>>, Failure> {
    let invalid = |error: &dyn std::fmt::Display| Failure::Refused(format!("not a request: {error}"));
    let mut message = http::Request::builder()
        .method(request.method.as_str())
        .uri(request.target.as_str())
        .header(header::HOST, &request.authority)
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("tanist/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    let mut message = message.body(Full::from(request.body.clone())).map_err(|error| invalid(&error))?;
    for (name, value) in access.headers(&request.body) {
        message.headers_mut().insert(name, value);
    }
    Ok(message)
}

/// Tries the addresses that may be connected to, one after the other, each with its share of the time.
async fn connect(request: &Request, deadline: Instant) -> Result<TcpStream, Failure> {
    let addresses = allowed(request, deadline).await?;
    let mut last = String::new();
    for (tried, address) in addresses.iter().enumerate() {
        let rest = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / rest;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // One small message: waiting for more would only delay it. Without the option it is sent all the same.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no connection in time"),
        }
    }
    Err(Failure::Unreachable(last))
}

async fn allowed(request: &Request, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    let Request { host, port, addresses, .. } = request;
    let (found, named): (Vec<SocketAddr>, bool) = match host.parse::<IpAddr>() {
        Ok(address) => (vec![SocketAddr::new(address, *port)], true),
        Err(_) => match timeout_at(deadline, lookup_host((host.as_str(), *port))).await {
            Ok(Ok(found)) => (found.take(MAX_ADDRESSES).collect(), false),
            Ok(Err(error)) => return Err(Failure::Unreachable(format!("{host}: {error}"))),
            Err(_) => return Err(Failure::Unreachable(format!("{host}: no answer from the resolver in time"))),
        },
    };
    let may = |address: IpAddr| match addresses.is_empty() {
        true => named || !is_reserved(address),
        false => addresses.contains(&address),
    };
    let good: Vec<SocketAddr> = found.iter().copied().filter(|address| may(address.ip())).collect();
    match (good.is_empty(), found.first()) {
        (false, _) => Ok(good),
        (true, None) => Err(Failure::Unreachable(format!("{host} has no address"))),
        (true, Some(address)) => {
            let address = address.ip();
            Err(Failure::Refused(format!("{host} is {address}, which the grant does not name; add addresses: [{address}]")))
        }
    }
}

/// The result of a step before anything was sent.
fn before<T, E: std::error::Error>(step: &str, result: Result<Result<T, E>, tokio::time::error::Elapsed>) -> Result<T, Failure> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Unreachable(format!("{step}: {}", explain(&error)))),
        Err(_) => Err(Failure::Unreachable(format!("{step}: no answer in time"))),
    }
}

/// An error with its causes.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}

fn texts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    // A cookie is a credential, too: nothing of that kind reaches a plugin.
    let told = headers.iter().filter(|(name, _)| *name != header::SET_COOKIE);
    told.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect()
}
