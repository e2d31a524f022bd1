//! The REST API: Patroni's paths, codes and bodies, and a few of our own.
//!
//! It runs on a thread and a runtime of its own, reads what the loop last showed and the guard's page, and never holds the loop up.

mod auth;
mod cluster;
mod explain;
mod facts;
mod node;
mod plugins;
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
use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
};
use tanist_engine::Endpoint;
use tanist_patroni::rest::{self, Query};

/// A request's body may be this long.
const MAX_BODY: usize = 64 << 10;

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
            axum::serve(listener, router).await
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
        Method::POST => {
            if let Err(refusal) = auth::check(api.tools.settings.cluster.rest_credentials.as_ref(), &headers) {
                return refusal;
            }
            let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_BODY).await else {
                return plain(StatusCode::BAD_REQUEST, "the body cannot be read or is too long".to_owned());
            };
            post(&api, &path, body).await
        }
        _ => plain(StatusCode::NOT_IMPLEMENTED, format!("{method} is not supported by this version of tanist")),
    }
}

fn get(api: &Api, path: &str, query: &str) -> Response {
    match path {
        "/patroni" => json(StatusCode::OK, node::body(api)),
        "/cluster" => match cluster::body(api) {
            Some(body) => json(StatusCode::OK, body),
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "the store has not been read yet".to_owned()),
        },
        "/history" => json(StatusCode::OK, cluster::history(api)),
        "/config" => match cluster::config(api) {
            Some(body) => json(StatusCode::OK, body),
            None => plain(StatusCode::BAD_GATEWAY, "there is no configuration in the store".to_owned()),
        },
        "/explain" => json(StatusCode::OK, explain::body(api)),
        "/plugins" => json(StatusCode::OK, plugins::body(api)),
        _ if rest::is_health_path(path) => {
            let code = rest::status(path, &Query::parse(query), &facts::gather(api));
            json(StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE), node::body(api))
        }
        _ => plain(StatusCode::NOT_FOUND, format!("there is no {path}")),
    }
}

async fn post(api: &Api, path: &str, body: Bytes) -> Response {
    match path {
        "/switchover" => {
            let (code, text) = switchover::carry_out(api, &body).await;
            plain(StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE), text)
        }
        _ => plain(StatusCode::NOT_IMPLEMENTED, format!("POST {path} is not supported by this version of tanist")),
    }
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn plain(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
