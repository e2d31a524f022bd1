//! The REST API: Patroni's paths, codes and bodies, and a few of our own.
//!
//! It runs on a thread and a runtime of its own, reads what the loop last showed and the guard's page, and never holds the loop up.

mod auth;
mod cluster;
mod config;
mod connections;
mod explain;
mod facts;
mod failsafe;
mod metrics;
mod node;
mod plugins;
pub(crate) mod restart;
mod route;
mod store;
mod switchover;

use crate::{
    execute::Tools,
    run::{StatusCell, Story},
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use route::{Act, Page};
use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};
use tanist_engine::Endpoint;
use tanist_patroni::rest::{self, Kind, Query};

/// A request's body may be this long.
const MAX_BODY: usize = 64 << 10;
/// It must have arrived by then.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no REST API.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The address cannot be listened on.
    #[error("restapi.listen: cannot listen on {address}: {error}; stop what listens there or choose another address or port")]
    Listen {
        /// The configured address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// No thread.
    #[error("the REST API's thread: {0}")]
    Thread(io::Error),
}

/// What handlers need.
#[derive(Clone)]
struct Api {
    tools: Arc<Tools>,
    status: StatusCell,
    story: Story,
    /// The agent's runtime: connections to the store belong to it.
    agent: tokio::runtime::Handle,
}

/// Binds the configured address and serves from a thread of its own until the process ends. To be called inside the agent's runtime.
pub fn serve(tools: Arc<Tools>, status: StatusCell, story: Story) -> Result<(), RestError> {
    let listener = bind(&tools.settings.rest.listen)?;
    let api = Api { tools, status, story, agent: tokio::runtime::Handle::current() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RestError::Thread)?;
    let serve = move || {
        let outcome: io::Result<()> = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = Router::new().fallback(handle).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(api);
            connections::serve(listener, router).await;
            Ok(())
        });
        if let Err(error) = outcome {
            tracing::error!(%error, "the REST API has ended");
        }
    };
    std::thread::Builder::new().name("rest".into()).stack_size(512 << 10).spawn(serve).map_err(RestError::Thread)?;
    Ok(())
}

fn bind(listen: &Endpoint) -> Result<TcpListener, RestError> {
    let host = if listen.host == "*" { "0.0.0.0" } else { listen.host.as_str() };
    let failed = |error| RestError::Listen { address: format!("{}:{}", listen.host, listen.port), error };
    let addresses: Vec<SocketAddr> = (host, listen.port).to_socket_addrs().map_err(failed)?.collect();
    let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

async fn handle(State(api): State<Api>, method: Method, headers: HeaderMap, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    match method {
        Method::GET => get(&api, &path, &query),
        Method::HEAD | Method::OPTIONS => {
            let answer = get(&api, &path, &query);
            answer.status().into_response()
        }
        Method::POST | Method::PATCH | Method::PUT | Method::DELETE => {
            if let Err(refusal) = auth::check(api.tools.settings.cluster.rest_credentials.as_ref(), &headers) {
                return refusal;
            }
            match body(&method, &path, &headers, request).await {
                Ok(body) => change(&api, &method, &path, &body).await,
                Err(refusal) => refusal,
            }
        }
        _ => unsupported(&method, &path),
    }
}

/// The request's body, whole. One that is neither announced nor there is asked for, as Patroni does.
async fn body(method: &Method, path: &str, headers: &HeaderMap, request: Request) -> Result<Bytes, Response> {
    let needed = matches!(*method, Method::PATCH | Method::PUT) || Act::of(method, path).is_some_and(Act::needs_body);
    let announced = headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING);
    if needed && !announced {
        return Err(plain(StatusCode::LENGTH_REQUIRED, "the request has no body".to_owned()));
    }
    match tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(request.into_body(), MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(plain(StatusCode::BAD_REQUEST, "the body cannot be read or is too long".to_owned())),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".to_owned())),
    }
}

fn get(api: &Api, path: &str, query: &str) -> Response {
    let Some(page) = Page::of(path) else { return plain(StatusCode::NOT_FOUND, format!("there is no {path}")) };
    match page {
        Page::Node => json(StatusCode::OK, node::body(api)),
        Page::Cluster => match cluster::body(api) {
            Some(body) => json(StatusCode::OK, body),
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "the store has not been read yet".to_owned()),
        },
        Page::History => json(StatusCode::OK, cluster::history(api)),
        Page::Config => match config::body(api) {
            Some(body) => json(StatusCode::OK, body),
            None => plain(StatusCode::BAD_GATEWAY, "there is no configuration in the store".to_owned()),
        },
        Page::Failsafe => match cluster::failsafe(api) {
            Some(body) => json(StatusCode::OK, body),
            None => plain(StatusCode::BAD_GATEWAY, "failsafe mode is not on".to_owned()),
        },
        Page::Metrics => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::body(api)).into_response()
        }
        Page::Explain => json(StatusCode::OK, explain::body(api)),
        Page::Plugins => json(StatusCode::OK, plugins::body(api)),
        Page::Health => {
            let code = rest::status(path, &Query::parse(query), &facts::gather(api));
            json(code_of(code), node::body(api))
        }
    }
}

/// What may need credentials.
async fn change(api: &Api, method: &Method, path: &str, body: &Bytes) -> Response {
    let Some(act) = Act::of(method, path) else { return unsupported(method, path) };
    let (code, text) = match act {
        Act::AskFailsafe => return failsafe::asked(api, body),
        Act::Switchover => switchover::carry_out(api, Kind::Switchover, body).await,
        Act::Failover => switchover::carry_out(api, Kind::Failover, body).await,
        Act::ForgetSwitchover => switchover::forget(api).await,
        Act::Restart => restart::carry_out(api, body).await,
        Act::ForgetRestart => restart::forget(),
        Act::Reload => {
            api.tools.reload.notify_one();
            (202, "reload scheduled".to_owned())
        }
        Act::ChangeConfig => return config(config::change(api, body).await),
        Act::ReplaceConfig => return config(config::replace(api, body).await),
    };
    plain(code_of(code), text)
}

/// A configuration is JSON, a refusal is not.
fn config((code, text): (u16, String)) -> Response {
    if code == 200 { json(StatusCode::OK, text) } else { plain(code_of(code), text) }
}

fn code_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

fn unsupported(method: &Method, path: &str) -> Response {
    plain(StatusCode::NOT_IMPLEMENTED, format!("{method} {path} is not supported by this version of tanist"))
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn plain(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
